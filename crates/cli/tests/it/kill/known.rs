//! What a client knows of one of its secrets, and what a change makes of it.

use serde_json::{Value, json};

/// Long enough that no version expires during a run.
const GRACE_SECS: u64 = 86_400;

/// A secret as it stands, all its versions included: none of them expires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) automatic: bool,
    /// Each change of a manual secret's value writes the same text here: the two must never disagree.
    pub(super) description: String,
    /// From version 1 on; `None`: generated, and never seen.
    pub(super) values: Vec<Option<String>>,
}

impl Known {
    pub(super) fn version(&self) -> u64 {
        self.values.len() as u64
    }

    /// Whether `seen`, in which every value is known, is what this says.
    pub(super) fn is(&self, seen: &Known) -> bool {
        let same = |(known, seen): (&Option<String>, &Option<String>)| known.is_none() || known == seen;
        self.automatic == seen.automatic
            && self.description == seen.description
            && self.values.len() == seen.values.len()
            && self.values.iter().zip(&seen.values).all(same)
    }
}

/// One change.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Create {
        automatic: bool,
        text: String,
    },
    /// Value and description at once.
    Update {
        text: String,
    },
    /// The description alone: no new version.
    Describe {
        text: String,
    },
    Rotate,
    Delete,
}

impl Change {
    pub(super) fn method(&self) -> &'static str {
        match self {
            Change::Create { .. } | Change::Rotate => "POST",
            Change::Update { .. } | Change::Describe { .. } => "PUT",
            Change::Delete => "DELETE",
        }
    }

    pub(super) fn path(&self, name: &str) -> String {
        match self {
            Change::Create { .. } => "/v1/secrets".to_owned(),
            Change::Rotate => format!("/v1/secrets/{name}/rotate"),
            _ => format!("/v1/secrets/{name}"),
        }
    }

    pub(super) fn body(&self, name: &str) -> Option<Value> {
        Some(match self {
            Change::Create { automatic: true, text } => json!({"name": name, "kind": "automatic",
                "rotation_interval_secs": 86_400, "grace_period_secs": GRACE_SECS, "description": text}),
            Change::Create { automatic: false, text } => {
                json!({"name": name, "kind": "manual", "value": text,
                "grace_period_secs": GRACE_SECS, "description": text})
            }
            Change::Update { text } => json!({"value": text, "description": text}),
            Change::Describe { text } => json!({"description": text}),
            Change::Rotate | Change::Delete => return None,
        })
    }

    pub(super) fn success(&self) -> u16 {
        match self {
            Change::Create { .. } => 201,
            Change::Delete => 204,
            _ => 200,
        }
    }

    /// The word of the audit log.
    pub(super) fn action(&self) -> &'static str {
        match self {
            Change::Create { .. } => "secret.create",
            Change::Update { .. } | Change::Describe { .. } => "secret.update",
            Change::Rotate => "secret.rotate",
            Change::Delete => "secret.delete",
        }
    }

    /// What the change makes of the secret; `generated` is the value in the answer, if there was one.
    pub(super) fn of(&self, before: Option<&Known>, generated: Option<String>) -> Option<Known> {
        let mut known = before.cloned();
        match (self, &mut known) {
            (Change::Create { automatic, text }, _) => {
                let value = if *automatic { generated } else { Some(text.clone()) };
                let description = text.clone();
                return Some(Known { automatic: *automatic, description, values: vec![value] });
            }
            (Change::Update { text }, Some(known)) => {
                known.values.push(Some(text.clone()));
                known.description.clone_from(text);
            }
            (Change::Describe { text }, Some(known)) => known.description.clone_from(text),
            (Change::Rotate, Some(known)) => known.values.push(generated),
            (Change::Delete, _) => return None,
            (change, None) => panic!("{change:?} of a secret that isn't there"),
        }
        known
    }
}
