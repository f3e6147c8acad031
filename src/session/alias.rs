//! Topic Aliases, both ways: numbers that stand for Topic Names while a connection lasts (section 3.3.2.3.4).
//!
//! Nothing that outlives the connection has an alias: messages that are kept, to be received or to be sent again, have
//! their full Topic Name.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::error::{CallError, ProtocolError};

/// Topic Names up to this length are no longer than an alias.
const SHORT: usize = 3;

/// What the broker's aliases stand for.
#[derive(Debug, Default)]
pub(super) struct InboundAliases {
    topics: Vec<Option<Arc<str>>>,
}

impl InboundAliases {
    /// Learns what an alias stands for, or returns the Topic Name where it stands alone.
    #[cold]
    pub(super) fn resolve(&mut self, alias: u16, topic: &str, maximum: u16) -> Result<Option<Arc<str>>, ProtocolError> {
        if alias == 0 || alias > maximum {
            return Err(ProtocolError::TopicAliasInvalid(alias));
        }
        let index = usize::from(alias) - 1;
        if topic.is_empty() {
            let topic = self.topics.get(index).cloned().flatten();
            return topic.map(Some).ok_or(ProtocolError::UnknownTopicAlias(alias));
        }
        if index >= self.topics.len() {
            self.topics.resize(index + 1, None);
        }
        let known = &mut self.topics[index];
        if known.as_deref() != Some(topic) {
            *known = Some(topic.into());
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
    /// The aliases in the order of their Topic Names, for each of those the last that was given to it.
    by_topic: Vec<u16>,
    /// The ends of the list of aliases that the session gives, by their last use; 0 where there is none.
    oldest: u16,
    newest: u16,
}

#[derive(Debug, Default)]
struct Slot {
    topic: Option<Arc<str>>,
    /// Whether the user gave it, so that the session leaves it alone.
    is_by_hand: bool,
    /// Its neighbours in the list by use; 0 where there is none.
    older: u16,
    newer: u16,
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
    pub(super) fn by_hand(&self, topic: &str, alias: u16, maximum: u16) -> Result<Choice, CallError> {
        if alias == 0 || alias > maximum {
            return Err(CallError::TopicAliasInvalid { maximum });
        }
        let known = self.topic(alias);
        if topic.is_empty() && known.is_none() {
            return Err(CallError::UnknownTopicAlias(alias));
        }
        let is_known = topic.is_empty() || known.is_some_and(|known| **known == *topic);
        Ok(Choice { alias, is_known, is_by_hand: true })
    }

    /// The alias of this Topic Name, or one to give it: a new one up to `most`, else the least recently used. `None`
    /// where an alias saves nothing or all of them are the user's.
    pub(super) fn choose(&self, topic: &str, most: u16) -> Option<Choice> {
        if most == 0 || topic.len() <= SHORT {
            return None;
        }
        let (alias, is_known) = match self.find(topic) {
            Ok(place) => (self.by_topic[place], true),
            Err(_) if self.slots.len() < usize::from(most) => (self.slots.len() as u16 + 1, false),
            Err(_) => (self.oldest, false),
        };
        (alias != 0).then_some(Choice { alias, is_known, is_by_hand: false })
    }

    /// What the alias stands for.
    pub(super) fn topic(&self, alias: u16) -> Option<&Arc<str>> {
        self.slots.get(usize::from(alias).checked_sub(1)?)?.topic.as_ref()
    }

    /// Notes that a message is sent with this alias.
    pub(super) fn sent(&mut self, choice: Choice, topic: &str) {
        let alias = choice.alias;
        while self.slots.len() < usize::from(alias) {
            // Those in between are free for the session to give, before any that stands for something.
            self.slots.push(Slot::default());
            self.link(0, self.slots.len() as u16, self.oldest);
        }
        if !choice.is_known {
            self.give(alias, topic);
        }
        if !self.slot(alias).is_by_hand {
            let Slot { older, newer, .. } = *self.slot(alias);
            self.join(older, newer);
            if choice.is_by_hand {
                self.slot(alias).is_by_hand = true;
            } else {
                self.link(self.newest, alias, 0);
            }
        }
    }

    /// Forgets them all, for a new connection `[MQTT-3.3.2-7]`.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Has the alias stand for this Topic Name.
    fn give(&mut self, alias: u16, topic: &str) {
        let before = self.topic(alias).cloned();
        if let Some(place) = before.and_then(|before| self.find(&before).ok())
            && self.by_topic[place] == alias
        {
            self.by_topic.remove(place);
        }
        match self.find(topic) {
            Ok(place) => self.by_topic[place] = alias,
            Err(place) => self.by_topic.insert(place, alias),
        }
        self.slot(alias).topic = Some(topic.into());
    }

    /// Where in `by_topic` this Topic Name is or would be.
    fn find(&self, topic: &str) -> Result<usize, usize> {
        self.by_topic.binary_search_by(|&alias| self.topic(alias).map_or("", |topic| topic).cmp(topic))
    }

    /// Puts an alias between two neighbours in the list by use.
    fn link(&mut self, older: u16, alias: u16, newer: u16) {
        self.join(older, alias);
        self.join(alias, newer);
    }

    /// Makes two aliases neighbours in the list by use.
    fn join(&mut self, older: u16, newer: u16) {
        *if older == 0 { &mut self.oldest } else { &mut self.slot(older).newer } = newer;
        *if newer == 0 { &mut self.newest } else { &mut self.slot(newer).older } = older;
    }

    fn slot(&mut self, alias: u16) -> &mut Slot {
        &mut self.slots[usize::from(alias) - 1]
    }
}
