//! Which endpoint a method and a path name.

use hyperion_vault_api::endpoint::{Endpoint, ROUTES, Route};
use percent_encoding::percent_decode_str;

/// What a request line names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Resolved {
    /// An endpoint and its parameter, percent-decoded; empty where the path has none.
    Endpoint {
        route: &'static Route,
        parameter: String,
    },
    NoSuchPath,
    /// The path is there, the method isn't.
    OtherMethods(Vec<&'static str>),
}

const PARAMETER: &str = "{name}";

/// Finds the endpoint. `path` is as it stands on the request line: the name of a secret may hold `/` raw or
/// as `%2F`, and only an unescaped last segment is a verb (`/rotate`, `/verify`).
pub(super) fn resolve(method: &str, path: &str) -> Resolved {
    let mut other_methods = Vec::new();
    for route in &ROUTES {
        let Some(parameter) = matches(route, path) else { continue };
        if route.method == method {
            return decode(route, parameter);
        }
        other_methods.push(route.method);
    }
    if other_methods.is_empty() { Resolved::NoSuchPath } else { Resolved::OtherMethods(other_methods) }
}

fn decode(route: &'static Route, parameter: &str) -> Resolved {
    match percent_decode_str(parameter).decode_utf8() {
        Ok(parameter) => Resolved::Endpoint { route, parameter: parameter.into_owned() },
        Err(_) => Resolved::NoSuchPath,
    }
}

/// The part of `path` that stands for the route's parameter.
fn matches<'a>(route: &Route, path: &'a str) -> Option<&'a str> {
    let Some((before, after)) = route.path.split_once(PARAMETER) else {
        return (route.path == path).then_some("");
    };
    let parameter = path.strip_prefix(before)?.strip_suffix(after)?;
    let fits = !parameter.is_empty() && (takes_slash(route.endpoint) || !parameter.contains('/'));
    fits.then_some(parameter)
}

fn takes_slash(endpoint: Endpoint) -> bool {
    matches!(
        endpoint,
        Endpoint::ReadSecret
            | Endpoint::UpdateSecret
            | Endpoint::DeleteSecret
            | Endpoint::RotateSecret
            | Endpoint::VerifySecret
            | Endpoint::ListVersions
    )
}

#[cfg(test)]
#[allow(clippy::panic)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    fn endpoint(method: &str, path: &str) -> (Endpoint, String) {
        match resolve(method, path) {
            Resolved::Endpoint { route, parameter } => (route.endpoint, parameter),
            other => panic!("{method} {path}: {other:?}"),
        }
    }

    #[test]
    fn every_route_is_found_by_its_own_path() {
        for route in &ROUTES {
            let path = route.path.replace(PARAMETER, "x");
            assert_eq!(endpoint(route.method, &path).0, route.endpoint, "{path}");
        }
    }

    #[test]
    fn a_name_holds_slashes_raw_or_escaped() {
        for path in ["/v1/secrets/a/b/c", "/v1/secrets/a%2Fb%2fc", "/v1/secrets/a/b%2Fc"] {
            assert_eq!(endpoint("GET", path), (Endpoint::ReadSecret, "a/b/c".to_owned()));
        }
        assert_eq!(endpoint("GET", "/v1/versions/a/b"), (Endpoint::ListVersions, "a/b".to_owned()));
    }

    #[test]
    fn only_the_last_unescaped_segment_of_a_post_is_a_verb() {
        let name = |text: &str| text.to_owned();
        assert_eq!(endpoint("POST", "/v1/secrets/a/rotate"), (Endpoint::RotateSecret, name("a")));
        assert_eq!(endpoint("GET", "/v1/secrets/a/rotate"), (Endpoint::ReadSecret, name("a/rotate")));
        assert_eq!(
            endpoint("POST", "/v1/secrets/a/verify/rotate"),
            (Endpoint::RotateSecret, name("a/verify"))
        );
        assert_eq!(
            endpoint("POST", "/v1/secrets/a%2Frotate/verify"),
            (Endpoint::VerifySecret, name("a/rotate"))
        );
        assert!(matches!(resolve("POST", "/v1/secrets/a%2Frotate"), Resolved::OtherMethods(_)));
    }

    /// What a path is put together from by somebody who looks for a gap.
    const PIECES: [&str; 16] = [
        "/v1/secrets",
        "/v1/versions",
        "/v1/roles",
        "/v1/admin/lockouts",
        "/rotate",
        "/verify",
        "/permissions",
        "/",
        "%2F",
        "%00",
        "%ff",
        "%",
        "%2",
        "..",
        "\u{202e}",
        "a",
    ];

    proptest! {
        #[test]
        fn no_path_panics(method in "[A-Z]{1,7}", path: String) {
            resolve(&method, &path);
            resolve(&method, &format!("/v1/secrets/{path}"));
        }

        #[test]
        fn what_is_found_is_what_the_path_says(pieces in vec(select(&PIECES[..]), 0..8)) {
            let path = pieces.concat();
            let said = percent_decode_str(&path).decode_utf8_lossy();
            for method in ["GET", "PUT", "POST", "DELETE"] {
                let Resolved::Endpoint { route, parameter } = resolve(method, &path) else { continue };
                prop_assert_eq!(route.path.replace(PARAMETER, &parameter), said.as_ref());
                prop_assert_eq!(route.method, method);
            }
        }
    }

    #[test]
    fn roles_and_tokens_have_no_slash() {
        assert_eq!(resolve("GET", "/v1/roles/a/b"), Resolved::NoSuchPath);
        assert_eq!(endpoint("PUT", "/v1/roles/a/permissions").0, Endpoint::SetPermissions);
    }

    #[test]
    fn an_unknown_path_is_no_path_and_an_unknown_method_names_the_known() {
        for path in ["/", "/v1", "/v1/secrets/", "/v2/secrets", "/v1/secrets/%ff", "/V1/secrets"] {
            assert_eq!(resolve("GET", path), Resolved::NoSuchPath, "{path}");
        }
        assert_eq!(resolve("PATCH", "/v1/secrets"), Resolved::OtherMethods(vec!["POST", "GET"]));
        assert_eq!(resolve("POST", "/v1/secrets/a"), Resolved::OtherMethods(vec!["GET", "PUT", "DELETE"]));
        assert_eq!(resolve("get", "/healthz"), Resolved::OtherMethods(vec!["GET"]));
    }
}
