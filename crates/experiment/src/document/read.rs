//! YAML events to a tree of values with positions. It refuses what makes a scenario file ambiguous or
//! dangerous, within fixed limits, and keeps going after a problem where the rest can still be understood.
//! It knows nothing of schemas.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use saphyr_parser::{Event, Parser, ScalarStyle, Span as Marked};
use serde_json::{Map, Value};

use super::path::Segment;
use super::printable::commands;
use super::problem::{Part, Problems};
use super::scalar;
use super::source::{Range, Source, Span, is_blank, is_break};

/// The longest file, in bytes. The project's own scenarios have some ten thousand.
pub const MAX_BYTES: usize = 1 << 20;
/// The deepest nesting, also through aliases. Everything downstream may recurse this deep.
pub const MAX_DEPTH: usize = 64;
/// The most values, each alias counted with all it stands for: nine lines of YAML can stand for a billion.
pub const MAX_NODES: usize = 100_000;
/// The most characters of text in all values, each alias counted with all it stands for.
pub const MAX_EXPANDED_CHARS: usize = 4 << 20;
/// The longest key, in characters. Keys become paths, and paths are shown to people.
pub const MAX_KEY_CHARS: usize = 200;

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// An unquoted word, or nothing at all.
    Plain,
    Quoted,
    /// `|` or `>`.
    Text,
    /// `{}` or `[]`.
    Flow,
    /// Lines of `key: value` or `- value`.
    Block,
    /// `*name`, in place of what it stands for.
    Alias,
}

/// Where a value and its key stand, and the same for everything inside it.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) form: Form,
    pub(super) key: Option<Range>,
    pub(super) value: Range,
    pub(super) inside: Inside,
}

#[derive(Clone, Debug)]
pub(super) enum Inside {
    Nothing,
    Map(IndexMap<String, Node>),
    List(Vec<Node>),
}

impl Node {
    pub(super) fn child(&self, segment: &Segment) -> Option<&Node> {
        match (&self.inside, segment) {
            (Inside::Map(children), Segment::Key(key)) => children.get(key),
            (Inside::List(children), Segment::Index(index)) => children.get(*index),
            _ => None,
        }
    }

    /// See [`super::Document::span`] for what stands in for parts without text.
    pub(super) fn range(&self, part: Part) -> Range {
        match (part, self.key) {
            (Part::Key, Some(key)) => key,
            (_, key) if self.form == Form::Block => key.unwrap_or_else(|| self.first_inside()),
            (_, Some(key)) if self.value.0 == self.value.1 => key,
            _ => self.value,
        }
    }

    fn first_inside(&self) -> Range {
        let first = match &self.inside {
            Inside::Nothing => None,
            Inside::Map(children) => children.first().map(|(_, child)| child),
            Inside::List(children) => children.first(),
        };
        first.map_or(self.value, |child| child.range(Part::Key))
    }
}

pub(super) struct Tree {
    pub(super) value: Value,
    pub(super) root: Node,
    /// Where the text has scalars, in its order: a `#` inside one starts no comment.
    pub(super) scalars: Vec<Range>,
}

pub(super) fn read(source: &Source) -> Result<Tree, Problems> {
    let mut problems = Problems::new();
    if source.bytes() > MAX_BYTES {
        problems
            .at_span(None, format!("the file has {} bytes; at most {MAX_BYTES} are read", source.bytes()));
        return Err(problems);
    }
    refuse_unprintable(source, &mut problems);
    if !problems.is_empty() {
        return Err(problems);
    }
    let text: String = source.chars().iter().collect();
    let mut reader = Reader::new(source);
    let end = reader.run(&text);
    let Reader { mut problems, scalars, root, .. } = reader;
    if let Err(Stop) = end {
        return Err(problems);
    }
    refuse_tabs(source, &scalars, &mut problems);
    match root {
        _ if !problems.is_empty() => Err(problems),
        Some((root, value)) => Ok(Tree { value, root, scalars }),
        None => {
            problems.at_span(None, "the file is empty");
            Err(problems)
        }
    }
}

/// Characters outside YAML's `c-printable` (YAML 1.2.2, section 5.1), and those that change the direction of
/// writing. The parser takes some for the end of the file, a terminal may take them for commands, and a reader
/// may see a line that is not there.
fn refuse_unprintable(source: &Source, problems: &mut Problems) {
    for (at, &c) in source.chars().iter().enumerate() {
        let printable =
            matches!(c, '\t' | '\n' | '\r') || !(commands(c) || c > '\u{fffd}' && c < '\u{10000}');
        if !printable && !problems.is_full() {
            let message = format!("the character U+{:04X} cannot be in a YAML file", c as u32);
            problems.at_span(Some(source.span((at, at + 1))), message);
        }
    }
}

/// The parser lets tabs pass as indentation in some places, where their width would be anyone's guess.
fn refuse_tabs(source: &Source, scalars: &[Range], problems: &mut Problems) {
    for &(start, end) in source.lines() {
        let indent = source.chars()[start..end].iter().take_while(|&&c| is_blank(c)).count();
        let first = start + indent;
        let Some(tab) = (start..first).find(|&at| source.chars()[at] == '\t') else { continue };
        let scalar = scalars.partition_point(|&(scalar_start, _)| scalar_start < first);
        let within = scalar > 0 && scalars[scalar - 1].1 > first;
        if first < end && source.chars()[first] != '#' && !within && !problems.is_full() {
            problems.at_span(Some(source.span((tab, tab + 1))), TAB).help(SPACES);
        }
    }
}

const TAB: &str = "a tab in the indentation";
const SPACES: &str = "YAML indents with spaces";

/// The file cannot be read any further; the problem is reported.
struct Stop;

/// What a value costs, with everything inside it.
#[derive(Clone, Copy, Default)]
struct Cost {
    nodes: usize,
    chars: usize,
    /// Levels of nesting: 0 for a scalar, 1 for a list of scalars or of nothing.
    depth: usize,
}

impl Cost {
    fn add_inside(&mut self, inside: Cost) {
        self.nodes += inside.nodes;
        self.chars += inside.chars;
        self.depth = self.depth.max(inside.depth + 1);
    }
}

/// A key of a mapping whose value has not come yet.
enum Key {
    Good(String, Range),
    /// Reported; its value is read and dropped.
    Bad,
}

enum Partial {
    Map { nodes: IndexMap<String, Node>, values: Map<String, Value>, key: Option<Key> },
    List { nodes: Vec<Node>, values: Vec<Value> },
}

/// A mapping or list whose end has not come yet.
struct Open {
    start: usize,
    form: Form,
    anchor: usize,
    cost: Cost,
    partial: Partial,
}

/// A value that is complete.
struct Done {
    node: Node,
    value: Value,
    cost: Cost,
}

struct Reader<'a> {
    source: &'a Source,
    problems: Problems,
    scalars: Vec<Range>,
    open: Vec<Open>,
    /// By the parser's number for the anchor, which is 0 for none.
    anchors: BTreeMap<usize, (Node, Value, Cost)>,
    spent: Cost,
    documents: usize,
    root: Option<(Node, Value)>,
}

impl<'a> Reader<'a> {
    fn new(source: &'a Source) -> Reader<'a> {
        Reader {
            source,
            problems: Problems::new(),
            scalars: Vec::new(),
            open: Vec::new(),
            anchors: BTreeMap::new(),
            spent: Cost::default(),
            documents: 0,
            root: None,
        }
    }

    fn run(&mut self, text: &str) -> Result<(), Stop> {
        let mut parser = Parser::new_from_str(text);
        while let Some(event) = parser.next_event() {
            match event {
                Ok((event, marked)) => self.event(event, marked)?,
                Err(error) => return self.syntax_error(error.info(), error.marker().index()),
            }
        }
        Ok(())
    }

    fn event(&mut self, event: Event<'_>, marked: Marked) -> Result<(), Stop> {
        let range = self.range(marked);
        match event {
            Event::DocumentStart(_) => return self.document(range),
            Event::Alias(anchor) => return self.alias(anchor, range),
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(tag.is_some(), range);
                return self.scalar(&text, style, anchor, range);
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_tag(tag.is_some(), range);
                return self.start(range, anchor, Partial::List { nodes: Vec::new(), values: Vec::new() });
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_tag(tag.is_some(), range);
                let partial = Partial::Map { nodes: IndexMap::new(), values: Map::new(), key: None };
                return self.start(range, anchor, partial);
            }
            Event::SequenceEnd | Event::MappingEnd => return self.end(range),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn document(&mut self, range: Range) -> Result<(), Stop> {
        self.documents += 1;
        if self.documents == 1 {
            return Ok(());
        }
        let span = self.source.span((range.0, range.1.max(range.0 + 1)));
        self.stop(span, "a second YAML document starts here; a scenario file holds one")
    }

    fn refuse_tag(&mut self, tagged: bool, range: Range) {
        if tagged {
            let start = skip_anchor(self.source.chars(), range);
            let length = self.source.chars()[start..].iter().take_while(|c| !c.is_whitespace()).count();
            let span = self.source.span((start, start + length));
            self.problems.at_span(Some(span), "a YAML tag; types follow from the field, not from tags");
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, anchor: usize, range: Range) -> Result<(), Stop> {
        let (form, range) = tighten(self.source.chars(), text, style, range);
        if range.0 < range.1 {
            self.scalars.push(range);
        }
        let cost = Cost { nodes: 1, chars: text.chars().count(), depth: 0 };
        self.spend(cost, range)?;
        // In the text itself there is none any more: this one was escaped.
        if let Some(c) = text.chars().find(|&c| commands(c) && !matches!(c, '\n' | '\t')) {
            let message = format!("the character U+{:04X} cannot be in a scenario", c as u32);
            self.problems.at_span(Some(self.source.span(range)), message);
        }
        if self.expects_key() {
            self.key(text, form, range);
            return Ok(());
        }
        let value = match form {
            Form::Plain => scalar::resolve(text).unwrap_or_else(|message| {
                self.problems.at_span(Some(self.source.span(range)), message);
                Value::Null
            }),
            _ => Value::String(text.to_owned()),
        };
        let node = Node { form, key: None, value: range, inside: Inside::Nothing };
        self.done(Done { node, value, cost }, anchor)
    }

    fn key(&mut self, text: &str, form: Form, range: Range) {
        let span = self.source.span(range);
        let problem = if form == Form::Plain && text == "<<" {
            Some(("merge keys are not read".to_owned(), "write the fields out"))
        } else if form == Form::Plain && scalar::is_special(text) {
            Some((format!("the key `{}` is not text", scalar::shorten(text)), "put it in quotes"))
        } else if form == Form::Text || !self.source.is_one_line(range) {
            Some(("a key over several lines".to_owned(), "a key is a short name"))
        } else if text.chars().count() > MAX_KEY_CHARS {
            Some((format!("a key of more than {MAX_KEY_CHARS} characters"), "a key is a short name"))
        } else {
            None
        };
        let key = match problem {
            None => Key::Good(text.to_owned(), range),
            Some((message, help)) => {
                self.problems.at_span(Some(span), message).help(help);
                Key::Bad
            }
        };
        self.expect_value_of(key);
    }

    /// Turns a repeated key into a problem.
    fn expect_value_of(&mut self, new: Key) {
        let Some(Open { partial: Partial::Map { nodes, key, .. }, .. }) = self.open.last_mut() else {
            return;
        };
        if let Key::Good(text, range) = &new
            && let Some(first) = nodes.get(text)
        {
            let line = self.source.line_of(first.key.unwrap_or(first.value).0);
            let message = format!("the key `{text}` is already given on line {line}");
            self.problems.at_span(Some(self.source.span(*range)), message);
            *key = Some(Key::Bad);
        } else {
            *key = Some(new);
        }
    }

    fn expects_key(&self) -> bool {
        matches!(self.open.last(), Some(Open { partial: Partial::Map { key: None, .. }, .. }))
    }

    fn alias(&mut self, anchor: usize, range: Range) -> Result<(), Stop> {
        let Some(cost) = self.anchors.get(&anchor).map(|(_, _, cost)| *cost) else {
            return self.stop(self.source.span(range), "an alias inside of what it stands for");
        };
        // The check comes before the copy.
        self.spend_checked(cost, range)?;
        let Some((mut node, value, _)) = self.anchors.get(&anchor).cloned() else { return Ok(()) };
        node.form = Form::Alias;
        node.value = range;
        self.done(Done { node, value, cost }, 0)
    }

    fn start(&mut self, range: Range, anchor: usize, partial: Partial) -> Result<(), Stop> {
        let chars = self.source.chars();
        let start = skip_tag(chars, (skip_anchor(chars, range), range.1));
        let flow = start < range.1 && matches!(chars[start], '{' | '[');
        let form = if flow { Form::Flow } else { Form::Block };
        let cost = Cost { nodes: 1, chars: 0, depth: 1 };
        self.spend(cost, range)?;
        self.open.push(Open { start, form, anchor, cost, partial });
        self.limit_depth(0, range)
    }

    fn end(&mut self, range: Range) -> Result<(), Stop> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let (inside, value) = match open.partial {
            Partial::Map { nodes, values, .. } => (Inside::Map(nodes), Value::Object(values)),
            Partial::List { nodes, values } => (Inside::List(nodes), Value::Array(values)),
        };
        let node = Node { form: open.form, key: None, value: (open.start, range.1.max(open.start)), inside };
        self.done(Done { node, value, cost: open.cost }, open.anchor)
    }

    /// Puts a complete value where it belongs.
    fn done(&mut self, done: Done, anchor: usize) -> Result<(), Stop> {
        if anchor != 0 {
            self.spend_checked(done.cost, done.node.value)?;
            self.anchors.insert(anchor, (done.node.clone(), done.value.clone(), done.cost));
        }
        let Done { mut node, value, cost } = done;
        if self.expects_key() {
            let span = self.source.span(node.range(Part::Value));
            self.problems.at_span(Some(span), "a key that is not text");
            self.expect_value_of(Key::Bad);
            return Ok(());
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some((node, value));
            return Ok(());
        };
        open.cost.add_inside(cost);
        match &mut open.partial {
            Partial::List { nodes, values } => {
                nodes.push(node);
                values.push(value);
            }
            Partial::Map { nodes, values, key } => {
                if let Some(Key::Good(text, range)) = key.take() {
                    node.key = Some(range);
                    nodes.insert(text.clone(), node);
                    values.insert(text, value);
                }
            }
        }
        Ok(())
    }

    fn spend_checked(&mut self, cost: Cost, range: Range) -> Result<(), Stop> {
        self.spend(cost, range)?;
        self.limit_depth(cost.depth, range)
    }

    fn spend(&mut self, cost: Cost, range: Range) -> Result<(), Stop> {
        self.spent.nodes += cost.nodes;
        self.spent.chars += cost.chars;
        let span = self.source.span(range);
        if self.spent.nodes > MAX_NODES {
            return self.stop(span, &format!("more than {MAX_NODES} values, with aliases written out"));
        }
        if self.spent.chars > MAX_EXPANDED_CHARS {
            let message = format!("more than {MAX_EXPANDED_CHARS} characters, with aliases written out");
            return self.stop(span, &message);
        }
        Ok(())
    }

    fn limit_depth(&mut self, inside: usize, range: Range) -> Result<(), Stop> {
        if self.open.len() + inside > MAX_DEPTH {
            return self.stop(self.source.span(range), &format!("nested more than {MAX_DEPTH} levels deep"));
        }
        Ok(())
    }

    fn stop(&mut self, span: Span, message: &str) -> Result<(), Stop> {
        self.problems.at_span(Some(span), message);
        Err(Stop)
    }

    fn syntax_error(&mut self, info: &str, at: usize) -> Result<(), Stop> {
        let line = self.source.line(self.source.line_of(at.min(self.source.chars().len())));
        let tab = line.iter().take_while(|&&c| is_blank(c)).position(|&c| c == '\t');
        if info.contains("tab")
            && let Some(tab) = tab
        {
            let (start, _) = self.source.lines()[self.source.line_of(at) as usize - 1];
            let span = self.source.span((start + tab, start + tab + 1));
            self.problems.at_span(Some(span), TAB).help(SPACES);
            return Err(Stop);
        }
        let rest = self.source.chars().get(at..).unwrap_or_default();
        let is_word = |c: &&char| c.is_alphanumeric() || matches!(c, '_' | '-');
        let word = if rest.first() == Some(&'*') { rest[1..].iter().take_while(is_word).count() } else { 0 };
        let span = self.source.span((at, at + 1 + word));
        let (message, help) = explain(info);
        self.problems.at_span(Some(span), message);
        if let Some(help) = help {
            self.problems.help(help);
        }
        Err(Stop)
    }

    /// The parser counts characters; at the end of the file it may count one too many.
    fn range(&self, marked: Marked) -> Range {
        let end = self.source.chars().len();
        let start = marked.start.index().min(end);
        (start, marked.end.index().clamp(start, end))
    }
}

/// The parser's sentence for the commonest slips says what it was doing; a person needs what to change.
fn explain(info: &str) -> (String, Option<&'static str>) {
    match SYNTAX.iter().find(|(part, ..)| info.contains(part)) {
        Some(&(_, message, help)) => (message.to_owned(), Some(help).filter(|help| !help.is_empty())),
        None => (format!("not YAML: {info}"), None),
    }
}

/// Part of the parser's sentence, ours, and what to do.
#[rustfmt::skip]
const SYNTAX: &[(&str, &str, &str)] = &[
    ("mapping values are not allowed", "a `:` where no key can be",
        "check the indentation, or put text with a colon in quotes"),
    ("illegal placement of ':'", "a `:` where no key can be", "is a `]` or `}` missing before?"),
    ("misplaced bracket", "a bracket that closes nothing", ""),
    ("found unexpected end of stream", "a quote that is never closed", ""),
    ("invalid trailing content", "text behind a closing quote", "put all of it in quotes, or nothing"),
    ("unknown escape character", "a backslash that YAML does not know", "in single quotes it stands for itself"),
    ("found unknown anchor", "an alias of nothing above", "text that starts with `*` needs quotes"),
    ("did not find expected ',' or '}'", "expected `,` or `}`", "a `{` above is not closed"),
    ("did not find expected ',' or ']'", "expected `,` or `]`", "a `[` above is not closed"),
    ("did not find expected node content", "expected a value", ""),
    ("did not find expected key", "expected a key", "the indentation fits no line above"),
    ("did not find expected '-'", "expected a list entry `- `", "a list and fields cannot be mixed"),
    ("expected <document start>", "this belongs to nothing before it", "is something missing, or not in quotes?"),
    ("block sequence entries are not allowed", "a list entry `- ` must start its own line", ""),
    ("unexpected character", "text cannot start with this character", "put it in quotes"),
    ("recursion limit exceeded", "nested too deep", ""),
];

/// The parser's range of a quoted scalar runs on to the next token, and that of an anchored one starts
/// at the anchor; this is the scalar alone, with its quotes.
fn tighten(chars: &[char], text: &str, style: ScalarStyle, range: Range) -> (Form, Range) {
    let start = skip_anchor(chars, range);
    match style {
        ScalarStyle::Plain if text.is_empty() => (Form::Plain, (range.0, range.0)),
        ScalarStyle::Plain => (Form::Plain, (start, range.1)),
        ScalarStyle::Literal | ScalarStyle::Folded => (Form::Text, (start, range.1)),
        ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => {
            let start = skip_tag(chars, (start, range.1));
            (Form::Quoted, (start, closing_quote(chars, (start, range.1))))
        }
    }
}

fn skip_anchor(chars: &[char], (start, end): Range) -> usize {
    if chars.get(start) == Some(&'&') { skip_word(chars, (start, end)) } else { start }
}

fn skip_tag(chars: &[char], (start, end): Range) -> usize {
    if chars.get(start) == Some(&'!') { skip_word(chars, (start, end)) } else { start }
}

/// Past one word, and the blanks and comments behind it.
fn skip_word(chars: &[char], (start, end): Range) -> usize {
    let is_space = |c: char| is_blank(c) || is_break(c);
    let skip = |from: usize, wanted: &dyn Fn(char) -> bool| {
        chars[from..end].iter().position(|&c| !wanted(c)).map_or(end, |length| from + length)
    };
    let mut at = skip(skip(start, &|c| !is_space(c)), &is_space);
    while at < end && chars[at] == '#' {
        at = skip(skip(at, &|c| !is_break(c)), &is_space);
    }
    at
}

fn closing_quote(chars: &[char], (start, end): Range) -> usize {
    let Some(&quote) = chars.get(start) else { return end };
    let mut at = start + 1;
    while at < end {
        match chars[at] {
            '\\' if quote == '"' => at += 2,
            '\'' if quote == '\'' && chars.get(at + 1) == Some(&'\'') => at += 2,
            c if c == quote => return at + 1,
            _ => at += 1,
        }
    }
    end
}
