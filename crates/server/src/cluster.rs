//! The use cases of the cluster itself: who its members are, and how they are changed.

use std::sync::Arc;
use std::time::Duration;

use hyperion_vault_core::policy::AdminPermit;
use hyperion_vault_core::state::table::meta;
use tokio::time::Instant;

use crate::config::HostPort;
use crate::failure::Failure;
use crate::ports::{ClusterStatus, MemberChange, MemberStatus, Membership, MembershipFailure};
use crate::replica::Replica;
use crate::trail::Trail;

/// How long a node waits to hear of a leader that another knows already.
const SUCCESSOR_KNOWN_WITHIN: Duration = Duration::from_secs(1);
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// What can be done with the cluster.
pub struct Cluster {
    replica: Arc<Replica>,
    membership: Arc<dyn Membership>,
}

/// The cluster as this node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overview {
    /// Of the commands that are used.
    pub feature_level: u32,
    pub status: ClusterStatus,
}

/// A node as an operator names it: not 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeId(u64);

impl NodeId {
    /// # Errors
    /// [`Failure::Invalid`] for 0.
    pub fn new(id: u64) -> Result<NodeId, Failure> {
        if id == 0 {
            Err(Failure::Invalid("the id of a node is at least 1".to_owned()))
        } else {
            Ok(NodeId(id))
        }
    }

    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }
}

/// A node to be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewNode {
    pub id: NodeId,
    address: HostPort,
}

impl NewNode {
    /// # Errors
    /// [`Failure::Invalid`] names the field and the rule.
    pub fn parse(id: u64, address: &str) -> Result<NewNode, Failure> {
        let address =
            address.parse::<HostPort>().map_err(|error| Failure::Invalid(format!("address {error}")))?;
        if address.port == 0 {
            return Err(Failure::Invalid("address has port 0, at which nobody can be reached".to_owned()));
        }
        Ok(NewNode { id: NodeId::new(id)?, address })
    }
}

impl Cluster {
    #[must_use]
    pub fn new(replica: Arc<Replica>, membership: Arc<dyn Membership>) -> Cluster {
        Cluster { replica, membership }
    }

    /// # Errors
    /// [`Failure`] when the state can't be read.
    pub fn overview(&self, _: AdminPermit) -> Result<Overview, Failure> {
        Ok(Overview {
            feature_level: meta::feature_level(&*self.replica.view())?,
            status: self.membership.status(),
        })
    }

    /// Adds a node that runs and waits to be let in. It follows and doesn't vote.
    ///
    /// # Errors
    /// [`Failure::Conflict`] says why it can't be added.
    pub async fn add(&self, _: AdminPermit, new: NewNode, trail: &mut Trail) -> Result<(), Failure> {
        self.foresee(|status| match member(status, new.id) {
            None => Ok(()),
            Some(_) => Err(Failure::Conflict("a node of this id is a member already".to_owned())),
        })
        .await?;
        let change = MemberChange::Add { node_id: new.id.get(), address: new.address.to_string() };
        self.change(change, trail).await
    }

    /// Gives a node that follows its vote, once it has caught up.
    ///
    /// # Errors
    /// [`Failure::NotFound`]; [`Failure::Conflict`]; [`Failure::Unavailable`] while it has not caught up.
    pub async fn promote(&self, _: AdminPermit, node: NodeId, trail: &mut Trail) -> Result<(), Failure> {
        self.foresee(|status| is_member(status, node)).await?;
        self.change(MemberChange::Promote { node_id: node.get() }, trail).await
    }

    /// Takes a node out of the cluster.
    ///
    /// # Errors
    /// [`Failure::NotFound`]; [`Failure::Conflict`] when what is left would have no quorum, unless forced.
    pub async fn remove(
        &self,
        _: AdminPermit,
        node: NodeId,
        force: bool,
        trail: &mut Trail,
    ) -> Result<(), Failure> {
        self.foresee(|status| is_member(status, node)).await?;
        self.change(MemberChange::Remove { node_id: node.get(), force }, trail).await
    }

    /// Has another voter lead, and answers who does.
    ///
    /// # Errors
    /// [`Failure::Conflict`] when there is no other.
    pub async fn step_down(&self, _: AdminPermit, trail: &mut Trail) -> Result<Option<u64>, Failure> {
        self.foresee(has_successor).await?;
        let former = self.membership.status().leader;
        self.change(MemberChange::StepDown, trail).await?;
        Ok(self.successor_of(former).await)
    }

    /// Who leads after `former`. The node that answers need not be the one that handed over or took it.
    async fn successor_of(&self, former: Option<u64>) -> Option<u64> {
        let known_by = Instant::now() + SUCCESSOR_KNOWN_WITHIN;
        loop {
            let leader = self.membership.status().leader.filter(|leader| Some(*leader) != former);
            if leader.is_some() || Instant::now() >= known_by {
                return leader;
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// Looks whether the change can be one. A no is only believed when it still is one with everything applied that
    /// was acknowledged by now: the members may have been changed by way of another node.
    async fn foresee(&self, judge: impl Fn(&ClusterStatus) -> Result<(), Failure>) -> Result<(), Failure> {
        if judge(&self.membership.status()).is_ok() {
            return Ok(());
        }
        self.replica.barrier().await?;
        judge(&self.membership.status())
    }

    async fn change(&self, change: MemberChange, trail: &mut Trail) -> Result<(), Failure> {
        trail.record_before_change().await?;
        Ok(self.membership.change(change).await?)
    }
}

fn member(status: &ClusterStatus, node: NodeId) -> Option<&MemberStatus> {
    status.members.iter().find(|member| member.node_id == node.get())
}

fn is_member(status: &ClusterStatus, node: NodeId) -> Result<(), Failure> {
    member(status, node).map(|_| ()).ok_or(MembershipFailure::UnknownNode.into())
}

fn has_successor(status: &ClusterStatus) -> Result<(), Failure> {
    if status.members.iter().any(|member| member.voter && Some(member.node_id) != status.leader) {
        return Ok(());
    }
    Err(Failure::Conflict("no other voter is there to lead".to_owned()))
}
