//! Topic Aliases, both ways: numbers that stand for Topic Names while a connection lasts (section 3.3.2.3.4).
//!
//! Nothing that outlives the connection has an alias: messages that are kept, to be received or to be sent again, have
//! their full Topic Name.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::codec::Publish;
use crate::error::{ProtocolError, RequestError};

/// Where the uses of aliases are counted from, behind the aliases themselves: those without use come first.
const FIRST_USE: u64 = 1 << 16;

/// Topic Names up to this length are no longer than an alias.
const SHORT: usize = 3;

/// What the broker's aliases stand for.
#[derive(Debug, Default)]
pub(super) struct InboundAliases {
    topics: Vec<Option<Arc<str>>>,
}

impl InboundAliases {
    /// Learns what an alias stands for, or returns the Topic Name where it stands alone.
    pub(super) fn resolve(&mut self, publish: &Publish<'_>, maximum: u16) -> Result<Option<Arc<str>>, ProtocolError> {
        let Some(alias) = publish.properties.topic_alias else { return Ok(None) };
        if alias == 0 || alias > maximum {
            return Err(ProtocolError::TopicAliasInvalid(alias));
        }
        let index = usize::from(alias) - 1;
        if publish.topic.is_empty() {
            let topic = self.topics.get(index).cloned().flatten();
            return topic.map(Some).ok_or(ProtocolError::UnknownTopicAlias(alias));
        }
        if index >= self.topics.len() {
            self.topics.resize(index + 1, None);
        }
        let known = &mut self.topics[index];
        if known.as_deref() != Some(publish.topic) {
            *known = Some(publish.topic.into());
        }
        Ok(None)
    }

    /// Forgets them all, for a new connection `[MQTT-3.3.2-7]`.
    pub(super) fn clear(&mut self) {
        self.topics.clear();
    }
}

/// The aliases that the broker was told.
#[derive(Debug, Default)]
pub(super) struct OutboundAliases {
    /// What each alias stands for, from 1 on.
    slots: Vec<Slot>,
    by_topic: BTreeMap<Arc<str>, u16>,
    /// The aliases that the session chose, least recently used first.
    by_use: BTreeMap<u64, u16>,
    uses: u64,
}

#[derive(Debug, Clone, Default)]
struct Slot {
    topic: Option<Arc<str>>,
    /// Its place in `by_use`; `None` for an alias of the user's.
    used: Option<u64>,
}

/// Which alias a message is sent with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice {
    pub(super) alias: u16,
    /// Whether the broker knows what it stands for, so that the Topic Name need not be sent.
    pub(super) is_known: bool,
    is_by_hand: bool,
}

impl OutboundAliases {
    /// The alias that the user gave, which stays the user's while the connection lasts.
    pub(super) fn by_hand(&self, topic: &str, alias: u16, maximum: u16) -> Result<Choice, RequestError> {
        if alias == 0 || alias > maximum {
            return Err(RequestError::TopicAliasInvalid { maximum });
        }
        let known = self.topic(alias);
        if topic.is_empty() && known.is_none() {
            return Err(RequestError::UnknownTopicAlias(alias));
        }
        Ok(Choice {
            alias,
            is_known: topic.is_empty() || known.is_some_and(|known| **known == *topic),
            is_by_hand: true,
        })
    }

    /// The alias of this Topic Name, or one to give it: a new one up to `most`, else the least recently used. `None`
    /// where an alias saves nothing or all of them are the user's.
    pub(super) fn choose(&self, topic: &str, most: u16) -> Option<Choice> {
        if most == 0 || topic.len() <= SHORT {
            return None;
        }
        let choice = |alias, is_known| Choice { alias, is_known, is_by_hand: false };
        if let Some(&alias) = self.by_topic.get(topic) {
            return Some(choice(alias, true));
        }
        if self.slots.len() < usize::from(most) {
            return Some(choice(self.slots.len() as u16 + 1, false));
        }
        self.by_use.first_key_value().map(|(_, &alias)| choice(alias, false))
    }

    /// What the alias stands for.
    pub(super) fn topic(&self, alias: u16) -> Option<&Arc<str>> {
        self.slots.get(usize::from(alias).checked_sub(1)?)?.topic.as_ref()
    }

    /// Notes that a message is sent with this alias.
    pub(super) fn sent(&mut self, choice: Choice, topic: &str) {
        let index = usize::from(choice.alias) - 1;
        while self.slots.len() <= index {
            // Those in between are free for the session to use.
            let alias = self.slots.len() as u16 + 1;
            self.slots.push(Slot { topic: None, used: Some(alias.into()) });
            self.by_use.insert(alias.into(), alias);
        }
        let slot = &mut self.slots[index];
        let was_by_hand = slot.used.is_none();
        if let Some(used) = slot.used.take() {
            self.by_use.remove(&used);
        }
        if !choice.is_by_hand && !was_by_hand {
            let used = FIRST_USE + self.uses;
            self.uses += 1;
            slot.used = Some(used);
            self.by_use.insert(used, choice.alias);
        }
        if !choice.is_known {
            let topic: Arc<str> = topic.into();
            if let Some(before) = slot.topic.replace(topic.clone())
                && self.by_topic.get(&before) == Some(&choice.alias)
            {
                self.by_topic.remove(&before);
            }
            self.by_topic.insert(topic, choice.alias);
        }
    }

    /// Forgets them all, for a new connection `[MQTT-3.3.2-7]`.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
