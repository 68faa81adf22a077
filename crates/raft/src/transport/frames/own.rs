//! What the house's own messages are made of: their records are the messages themselves.

use super::super::message::{Forwarded, LeaderAnswer, MemberChange, MembersAnswer};
use super::Wire;

macro_rules! as_it_is {
    ($($message:ty),+ $(,)?) => {
        $(
            impl Wire for $message {
                type Record = $message;

                fn into_record(self) -> $message {
                    self
                }

                fn from_record(record: $message) -> Result<$message, &'static str> {
                    Ok(record)
                }
            }
        )+
    };
}

as_it_is!((), Forwarded, MembersAnswer, LeaderAnswer<u64>, MemberChange);
