//! Secrets over HTTP.

use std::sync::Arc;

use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header::{ETAG, HeaderName};
use axum::response::Response;
use hyperion_vault_api::rotation::{GeneratorInfo, TargetInfo};
use hyperion_vault_api::secrets::{
    BatchReadRequest, CreateSecretRequest, MaterialText, SecretMetadata, SecretValue, UpdateSecretRequest,
    VerifyAnswer, VerifyRequest, VersionInfo,
};
use hyperion_vault_api::text::SecretText;
use hyperion_vault_core::generator::Generator;
use hyperion_vault_core::limits::{BATCH_ANSWER_BYTES_MAX, BATCH_NAMES_MAX, PAGE_ITEMS_MAX};
use hyperion_vault_core::name::SecretName;
use hyperion_vault_core::policy::{Action, Denied, Principal, SecretPermit};
use hyperion_vault_core::secret::{Secret, VersionNumber};
use hyperion_vault_core::state::command::Setting;
use hyperion_vault_core::target::Target;
use hyperion_vault_core::time::Seconds;
use hyperion_vault_crypto::{Material, Plaintext};
use zeroize::Zeroizing;

use super::answer;
use super::call::{Call, parse_number};
use super::error::Refused;
use super::guard;
use super::service::Api;
use crate::failure::Failure;
use crate::secrets::{ListQuery, NewMaterial, NewSecret, Opened, Page, SecretChange, Verdict};

/// Where the next page of a list begins (`?after=`).
const NEXT_AFTER: HeaderName = HeaderName::from_static("x-next-after");

pub(super) async fn create(api: &Api, call: &mut Call) -> Result<Response, Refused> {
    let (principal, request) = guard::principal_with::<CreateSecretRequest>(api, call).await?;
    let name = parse_name(&request.name, call)?;
    let permit = principal.authorize(Action::Create, &name)?;
    let new = NewSecret::parse(
        request.kind.into(),
        NewMaterial::parse(plain(request.value), plain(request.username), plain(request.password))?,
        request.description.as_deref(),
        request.rotation_interval_secs.map(Seconds::new),
        request.grace_period_secs.map(Seconds::new),
    )?;
    let target = request.target.as_ref().map(|target| read_target(&principal, &name, target)).transpose()?;
    let new = new.rotated_by(target, request.generator.as_ref().map(read_generator).transpose()?)?;
    let opened = api.secrets.create(permit, new, &mut call.trail).await?;
    value_answer(StatusCode::CREATED, opened)
}

pub(super) async fn list(api: &Api, call: &mut Call) -> Result<Response, Refused> {
    let principal = guard::principal(api, call)?;
    let [prefix, limit, after] = call.query(["prefix", "limit", "after"])?;
    let query = ListQuery {
        prefix: prefix.unwrap_or_default(),
        after,
        limit: parse_limit(limit.as_deref(), PAGE_ITEMS_MAX, PAGE_ITEMS_MAX)?,
    };
    let secrets = Arc::clone(&api.secrets);
    let page = tokio::task::spawn_blocking(move || secrets.list(&principal, &query));
    list_answer(&page.await.map_err(Failure::internal)??)
}

fn list_answer(page: &Page) -> Result<Response, Refused> {
    let items: Vec<SecretMetadata> = page.secrets.iter().map(SecretMetadata::from).collect();
    let mut response = answer::json(StatusCode::OK, &items);
    if let Some(next) = &page.next_after {
        let value = HeaderValue::from_str(next).map_err(Failure::internal)?;
        response.headers_mut().insert(NEXT_AFTER, value);
    }
    Ok(response)
}

pub(super) async fn read(api: &Api, call: &mut Call) -> Result<Response, Refused> {
    let reader = guard::reader(api, call)?;
    let permit = reader.permit(&parse_parameter(call)?)?;
    let [version] = call.query(["version"])?;
    let version = version.as_deref().map(parse_version).transpose()?;
    let opened = api.secrets.read(permit, version).await?;
    call.trail.version(opened.version.get());
    value_answer(StatusCode::OK, opened)
}

pub(super) async fn update(api: &Api, call: &mut Call) -> Result<Response, Refused> {
    let principal = guard::principal(api, call)?;
    let is_applied = is_applied(call)?;
    let name = parse_parameter(call)?;
    principal.authorize(Action::Update, &name)?;
    let if_match = call.if_match()?;
    let request: UpdateSecretRequest = call.json().await?;
    let principal = guard::principal(api, call)?;
    let permit = principal.authorize(Action::Update, &name)?;
    let target = setting(request.target, |target| read_target(&principal, &name, target))?;
    let generator = setting(request.generator, read_generator)?;
    let change = SecretChange::parse(
        NewMaterial::parse(plain(request.value), plain(request.username), plain(request.password))?,
        request.description.as_deref(),
        request.rotation_interval_secs.map(Seconds::new),
        request.grace_period_secs.map(Seconds::new),
        if_match,
    )?;
    let change = change.rotated_by(target, generator, is_applied).not_empty()?;
    let secret = api.secrets.update(permit, change, &mut call.trail).await?;
    Ok(metadata_answer(&secret))
}

pub(super) async fn delete(api: &Api, call: &mut Call) -> Result<Response, Refused> {
    let permit = permit(api, call, Action::Delete)?;
    api.secrets.delete(permit, &mut call.trail).await?;
    Ok(answer::no_content())
}

pub(super) async fn rotate(api: &Api, call: &mut Call) -> Result<Response, Refused> {
    let permit = permit(api, call, Action::Rotate)?;
    value_answer(StatusCode::OK, api.secrets.rotate(permit, &mut call.trail).await?)
}

pub(super) async fn verify(api: &Api, call: &mut Call) -> Result<Response, Refused> {
    guard::reader(api, call)?.permit(&parse_parameter(call)?)?;
    call.no_query()?;
    let request: VerifyRequest = call.json().await?;
    let permit = guard::reader(api, call)?.permit(&parse_parameter(call)?)?;
    let value = Plaintext::from(request.value.expose().as_bytes());
    let verdict = api.secrets.verify(permit, &value).await?;
    // Many may have been judged at once: whoever is locked out by now learns nothing.
    api.lockouts.judge(call.client, verdict == Verdict::Invalid)?;
    let answer = match verdict {
        Verdict::Valid(version) => {
            call.trail.version(version.get());
            VerifyAnswer { valid: true, version: Some(version.get()) }
        }
        Verdict::Invalid => {
            call.trail.detail("the value is not valid");
            VerifyAnswer { valid: false, version: None }
        }
    };
    Ok(answer::json(StatusCode::OK, &answer))
}

pub(super) async fn batch_read(api: &Api, call: &mut Call) -> Result<Response, Refused> {
    let (reader, request) = guard::reader_with::<BatchReadRequest>(api, call).await?;
    if request.names.len() > BATCH_NAMES_MAX {
        return Err(Failure::Invalid(format!("a batch has at most {BATCH_NAMES_MAX} names")).into());
    }
    let names = parse_names(&request.names)?;
    call.trail.about_all(&names);
    let permits = names.iter().map(|name| reader.permit(name)).collect::<Result<Vec<_>, _>>()?;
    let opened = api.secrets.read_batch(permits).await?;
    let versions: Vec<_> = opened.iter().map(|opened| Some(opened.as_ref()?.version.get())).collect();
    let values = opened.into_iter().flatten().map(value).collect::<Result<Vec<_>, _>>()?;
    if values.iter().map(SecretValue::json_bytes_max).sum::<usize>() > BATCH_ANSWER_BYTES_MAX {
        let max = BATCH_ANSWER_BYTES_MAX;
        return Err(
            Failure::Invalid(format!("the answer is larger than {max} bytes; ask for fewer names")).into()
        );
    }
    let bytes = SecretValue::list_to_json(&values).map_err(Failure::internal)?;
    call.trail.versions(versions);
    Ok(answer::secret_json(StatusCode::OK, bytes))
}

pub(super) async fn versions(api: &Api, call: &mut Call) -> Result<Response, Refused> {
    let principal = guard::principal(api, call)?;
    call.no_query()?;
    let name = parse_parameter(call)?;
    if !principal.sees(&name) {
        return Err(Denied.into());
    }
    let (current, versions) = api.secrets.versions(&name)?;
    let infos: Vec<_> =
        versions.iter().map(|(number, version)| VersionInfo::of(*number, version, current)).collect();
    Ok(answer::json(StatusCode::OK, &infos))
}

/// A target that the principal may name. The vault will log in there with what these secrets hold, so he must be one who
/// may read them.
fn read_target(principal: &Principal, name: &SecretName, target: &TargetInfo) -> Result<Target, Failure> {
    let target = target.parse().map_err(|error| Failure::Invalid(error.to_string()))?;
    for used in target.login_secret.iter().chain([name]) {
        let message = "permission denied: to set a target takes `read` on the secret and on its login_secret";
        principal.authorize(Action::Read, used).map_err(|_| Failure::Denied { message })?;
    }
    Ok(target)
}

fn read_generator(generator: &GeneratorInfo) -> Result<Generator, Failure> {
    generator.parse().map_err(|error| Failure::Invalid(error.to_string()))
}

/// What a request makes of something that `null` takes away.
fn setting<W, T>(
    given: Option<Option<W>>,
    read: impl FnOnce(&W) -> Result<T, Failure>,
) -> Result<Option<Setting<T>>, Failure> {
    match given {
        None => Ok(None),
        Some(None) => Ok(Some(Setting::Clear)),
        Some(Some(wire)) => Ok(Some(Setting::Set(read(&wire)?))),
    }
}

/// `?apply=false`: the target has the material already.
fn is_applied(call: &Call) -> Result<bool, Failure> {
    let [apply] = call.query(["apply"])?;
    match apply.as_deref() {
        None | Some("true") => Ok(false),
        Some("false") => Ok(true),
        Some(_) => Err(Failure::Invalid("apply must be true or false".to_owned())),
    }
}

/// The leave of a token's role to take `action` on the secret in the path.
fn permit(api: &Api, call: &mut Call, action: Action) -> Result<SecretPermit, Refused> {
    let principal = guard::principal(api, call)?;
    call.no_query()?;
    let name = parse_parameter(call)?;
    Ok(principal.authorize(action, &name)?)
}

fn parse_parameter(call: &mut Call) -> Result<SecretName, Failure> {
    let name = call.parameter.clone();
    parse_name(&name, call)
}

fn parse_name(name: &str, call: &mut Call) -> Result<SecretName, Failure> {
    call.trail.about(name);
    SecretName::parse(name).map_err(|error| Failure::Invalid(format!("name {error}")))
}

fn parse_names(names: &[String]) -> Result<Vec<SecretName>, Failure> {
    let parsed = names.iter().enumerate().map(|(index, name)| {
        SecretName::parse(name).map_err(|error| Failure::Invalid(format!("names[{index}] {error}")))
    });
    parsed.collect()
}

fn parse_version(text: &str) -> Result<VersionNumber, Failure> {
    let number = parse_number(text).ok_or_else(|| Failure::Invalid("version must be a number".to_owned()))?;
    Ok(VersionNumber::new(number))
}

/// A `?limit=` from 1 to `max`.
pub(super) fn parse_limit(text: Option<&str>, default: usize, max: usize) -> Result<usize, Failure> {
    let Some(text) = text else { return Ok(default) };
    parse_number(text)
        .and_then(|number| usize::try_from(number).ok())
        .filter(|number| (1..=max).contains(number))
        .ok_or_else(|| Failure::Invalid(format!("limit must be from 1 to {max}")))
}

fn plain(text: Option<SecretText>) -> Option<Plaintext> {
    text.map(|text| Plaintext::from(text.expose().as_bytes()))
}

fn metadata_answer(secret: &Secret) -> Response {
    let mut response = answer::json(StatusCode::OK, &SecretMetadata::from(secret));
    tag(&mut response, secret.current);
    response
}

fn value_answer(status: StatusCode, opened: Opened) -> Result<Response, Refused> {
    let version = opened.version;
    let bytes = value(opened)?.to_json().map_err(Failure::internal)?;
    let mut response = answer::secret_json(status, bytes);
    tag(&mut response, version);
    Ok(response)
}

/// What `If-Match` takes back.
fn tag(response: &mut Response, version: VersionNumber) {
    if let Ok(value) = HeaderValue::from_str(&format!("\"{}\"", version.get())) {
        response.headers_mut().insert(ETAG, value);
    }
}

fn value(opened: Opened) -> Result<SecretValue, Failure> {
    let material = match opened.material {
        Material::Opaque(value) => MaterialText::Opaque { value: text(&value)? },
        Material::UserPass { username, password } => {
            MaterialText::UserPass { username: text(&username)?, password: text(&password)? }
        }
    };
    Ok(SecretValue {
        name: opened.secret.name.to_string(),
        kind: opened.secret.kind.into(),
        format: opened.secret.format.into(),
        version: opened.version.get(),
        material,
        created_at: opened.created_at,
    })
}

/// Everything that was sealed came as text.
fn text(plaintext: &Plaintext) -> Result<SecretText, Failure> {
    let text = std::str::from_utf8(plaintext.expose());
    let text = text.map_err(|_| Failure::internal("opened material is not UTF-8"))?;
    Ok(SecretText::new(Zeroizing::new(text.to_owned())))
}
