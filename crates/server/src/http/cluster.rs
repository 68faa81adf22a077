//! The cluster over HTTP.

use axum::http::StatusCode;
use axum::response::Response;
use hyperion_vault_api::cluster::{
    AddNodeRequest, ClusterInfo, MemberAnswer, NodeInfo, NodeRole, StepDownAnswer,
};

use super::answer;
use super::call::{Call, parse_number};
use super::error::Refused;
use super::guard;
use super::service::Api;
use crate::cluster::{NewNode, NodeId, Overview};
use crate::failure::Failure;
use crate::ports::{MemberRole, MemberStatus};

pub(super) async fn read(api: &Api, call: &mut Call) -> Result<Response, Refused> {
    let overview = api.cluster.overview(guard::admin(api, call)?)?;
    Ok(answer::json(StatusCode::OK, &info(overview)))
}

pub(super) async fn add_node(api: &Api, call: &mut Call) -> Result<Response, Refused> {
    let (permit, request) = guard::admin_with::<AddNodeRequest>(api, call).await?;
    let new = NewNode::parse(request.id, &request.address)?;
    call.trail.about(&request.id.to_string());
    api.cluster.add(permit, new, &mut call.trail).await?;
    Ok(answer::json(StatusCode::CREATED, &MemberAnswer { id: request.id, voter: false }))
}

pub(super) async fn promote_node(api: &Api, call: &mut Call) -> Result<Response, Refused> {
    let permit = guard::admin(api, call)?;
    let node = parse_parameter(call)?;
    api.cluster.promote(permit, node, &mut call.trail).await?;
    Ok(answer::json(StatusCode::OK, &MemberAnswer { id: node.get(), voter: true }))
}

pub(super) async fn remove_node(api: &Api, call: &mut Call) -> Result<Response, Refused> {
    let permit = guard::admin_with_query(api, call)?;
    let [force] = call.query(["force"])?;
    let force = parse_force(force.as_deref())?;
    let node = parse_parameter(call)?;
    api.cluster.remove(permit, node, force, &mut call.trail).await?;
    Ok(answer::no_content())
}

pub(super) async fn step_down(api: &Api, call: &mut Call) -> Result<Response, Refused> {
    let permit = guard::admin(api, call)?;
    let leader = api.cluster.step_down(permit, &mut call.trail).await?;
    Ok(answer::json(StatusCode::OK, &StepDownAnswer { leader }))
}

fn parse_parameter(call: &mut Call) -> Result<NodeId, Failure> {
    let text = call.parameter.clone();
    call.trail.about(&text);
    let id = parse_number(&text);
    NodeId::new(id.ok_or_else(|| Failure::Invalid("the path must name a node by its number".to_owned()))?)
}

fn parse_force(text: Option<&str>) -> Result<bool, Failure> {
    match text {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Failure::Invalid("force must be true or false".to_owned())),
    }
}

fn info(overview: Overview) -> ClusterInfo {
    let status = overview.status;
    ClusterInfo {
        cluster_id: status.cluster_id,
        leader: status.leader,
        term: status.term,
        feature_level: overview.feature_level,
        quorum: status.quorum,
        nodes: status.members.into_iter().map(node_info).collect(),
    }
}

fn node_info(member: MemberStatus) -> NodeInfo {
    NodeInfo {
        id: member.node_id,
        address: member.address,
        role: match member.role {
            MemberRole::Leader => NodeRole::Leader,
            MemberRole::Follower => NodeRole::Follower,
            MemberRole::Learner => NodeRole::Learner,
            MemberRole::Candidate => NodeRole::Candidate,
            MemberRole::Stopped => NodeRole::Stopped,
            MemberRole::Unreachable => NodeRole::Unreachable,
        },
        voter: member.voter,
        term: member.term,
        log_index: member.last_log_index,
        applied_index: member.applied_index,
        lag: member.lag,
        last_contact_ms: member
            .last_contact
            .map(|contact| u64::try_from(contact.as_millis()).unwrap_or(u64::MAX)),
        clock_skew_ms: member.clock_skew_ms,
        feature_level: member.feature_level,
        version: member.version,
    }
}
