//! Who listens to a topic: Topic Filters as a tree of their first levels, so that finding those that match does not
//! take looking at all there are.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use crate::codec::{levels_match, subscribed_filter};

/// How high the tree is at most, whatever is subscribed to. What is behind these levels is compared as a whole.
const MOST_LEVELS: usize = 8;

/// Topic Filters, and who has them.
#[derive(Debug, Default)]
pub(super) struct Topics {
    root: Node,
    /// The Topic Name that was asked for last: the next message has the same, often enough.
    last: String,
    /// Who listens to that; `None` when it is not known.
    found_last: Option<Vec<u64>>,
}

#[derive(Debug, Default)]
struct Node {
    /// Those whose filter ends here.
    here: Vec<u64>,
    /// What comes next, in order.
    next: Vec<(Box<str>, Node)>,
}

impl Topics {
    pub(super) fn insert(&mut self, filter: &str, id: u64) {
        self.found_last = None;
        let node = levels(subscribed_filter(filter)).fold(&mut self.root, |node, level| {
            let place = match node.find(level) {
                Ok(place) => place,
                Err(place) => {
                    node.next.insert(place, (level.into(), Node::default()));
                    place
                }
            };
            &mut node.next[place].1
        });
        node.here.push(id);
    }

    pub(super) fn remove(&mut self, filter: &str, id: u64) {
        self.found_last = None;
        self.root.remove(&mut levels(subscribed_filter(filter)), id);
    }

    /// Hands all whose filter matches a Topic Name to `found`.
    pub(super) fn matching(&mut self, topic: &str, found: &mut Vec<u64>) {
        if let Some(last) = self.found_last.as_ref().filter(|_| self.last == topic) {
            return found.extend_from_slice(last);
        }
        let start = found.len();
        self.look_for(topic, found);
        self.last.clear();
        self.last.push_str(topic);
        let last = self.found_last.get_or_insert_default();
        last.clear();
        last.extend_from_slice(&found[start..]);
    }

    fn look_for(&self, topic: &str, found: &mut Vec<u64>) {
        let mut names = [""; MOST_LEVELS];
        let mut len = 0;
        for level in levels(topic) {
            names[len] = level;
            len += 1;
        }
        // Wildcards at the beginning do not match what begins with `$` (section 4.7.2).
        self.root.matching(&names[..len], 1, !topic.starts_with('$'), found);
    }
}

impl Node {
    fn find(&self, level: &str) -> Result<usize, usize> {
        self.next.binary_search_by(|(other, _)| (**other).cmp(level))
    }

    fn remove<'a>(&mut self, levels: &mut impl Iterator<Item = &'a str>, id: u64) {
        let Some(level) = levels.next() else { return self.here.retain(|other| *other != id) };
        if let Ok(place) = self.find(level) {
            let next = &mut self.next[place].1;
            next.remove(levels, id);
            if next.here.is_empty() && next.next.is_empty() {
                self.next.remove(place);
            }
        }
    }

    /// `depth` is the number of the level that comes next.
    fn matching(&self, levels: &[&str], depth: usize, takes_wildcards: bool, found: &mut Vec<u64>) {
        let next = |level: &str| self.find(level).ok().map(|place| &self.next[place].1);
        if takes_wildcards && let Some(all) = next("#") {
            found.extend(&all.here);
        }
        let Some((level, rest)) = levels.split_first() else { return found.extend(&self.here) };
        if depth == MOST_LEVELS {
            let rests =
                self.next.iter().filter(|(rest, _)| **rest != *"#" && levels_match(rest.as_bytes(), level.as_bytes()));
            return found.extend(rests.flat_map(|(_, node)| &node.here));
        }
        if takes_wildcards && let Some(any) = next("+") {
            any.matching(rest, depth + 1, true, found);
        }
        if let Some(exactly) = next(level) {
            exactly.matching(rest, depth + 1, true, found);
        }
    }
}

/// The first levels one by one, and all that is behind them as one.
fn levels(topic: &str) -> impl Iterator<Item = &str> {
    topic.splitn(MOST_LEVELS, '/')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::topic_matches;

    #[test]
    fn tree_finds_what_comparing_finds() {
        let filters = [
            "#",
            "+",
            "+/+",
            "a",
            "a/#",
            "a/+",
            "a/b",
            "a/+/c",
            "+/b/#",
            "/",
            "/+",
            "a//c",
            "$SYS/#",
            "$SYS/+/x",
            "$share/group/a/+",
            "b/#",
            "1/2/3/4/5/6/7/#",
            "1/2/3/4/5/6/7/8/#",
            "1/2/3/4/5/6/7/+/9",
            "1/2/3/4/5/6/7/8/9",
            "1/2/3/4/5/6/7",
            "1/2/3/4/5/6/+/8/+/10",
        ];
        let topics = [
            "a",
            "a/b",
            "a/b/c",
            "/",
            "/a",
            "a/",
            "a//c",
            "$SYS",
            "$SYS/a",
            "$SYS/a/x",
            "b",
            "b/c/d",
            "c",
            "1/2/3/4/5/6/7",
            "1/2/3/4/5/6/7/8",
            "1/2/3/4/5/6/7/8/9",
            "1/2/3/4/5/6/7/8/9/10",
            "1/2/3/4/5/6/7/$/9",
        ];
        let mut tree = Topics::default();
        for (id, filter) in (0..).zip(filters) {
            tree.insert(filter, id);
        }
        for removed in 0..=filters.len() {
            for topic in topics {
                let (mut found, mut again) = (Vec::new(), Vec::new());
                tree.matching(topic, &mut found);
                tree.matching(topic, &mut again);
                assert_eq!(found, again, "{topic}, asked for twice");
                found.sort_unstable();
                let expected: Vec<u64> = (0..)
                    .zip(filters)
                    .skip(removed)
                    .filter(|(_, filter)| topic_matches(filter, topic))
                    .map(|(id, _)| id)
                    .collect();
                assert_eq!(found, expected, "{topic}");
            }
            if let Some(filter) = filters.get(removed) {
                tree.remove(filter, removed as u64);
            }
        }
        assert!(tree.root.next.is_empty(), "what nobody has any more is gone");
    }
}
