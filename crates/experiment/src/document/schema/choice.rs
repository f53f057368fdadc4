//! `oneOf` and `anyOf`: which branch a value was meant for. Only the problems of that branch are worth
//! showing. A branch is chosen by the JSON type of the value, then by the tag of a tagged enum (a single
//! required field, or a field with a constant), and only then by which branch fits best.

use serde_json::{Map, Value};

use super::describe::{LONGEST_LIST, join_clauses, quoted};
use super::{Checker, Layer, Types, constants_of, list_of, of, types_of};
use crate::document::path::Path;
use crate::document::problem::{Part, Problems};
use crate::document::{scalar, suggest};

/// One alternative, and the innermost schema around it with a name of its own.
#[derive(Clone, Copy)]
pub(super) struct Branch<'a> {
    schema: &'a Value,
    choice: Option<&'a Value>,
}

/// The alternatives at one place of the schema.
struct Choice<'a> {
    /// The schema that leads here, for the choice's name.
    name: &'a Value,
    branches: Vec<Branch<'a>>,
    /// Those that can be of the value's JSON type.
    fits: Vec<Branch<'a>>,
}

/// The tag of an externally tagged variant, such as `poisson` of `{ poisson: 100/s }`.
type Tagged<'a> = (&'a str, Branch<'a>);

impl<'a> Checker<'a> {
    /// `origin` is the schema that led to the layer; it may give the choice its name.
    pub(super) fn check_choice(
        &self,
        origin: &'a Value,
        layer: Layer<'a>,
        value: &Value,
        path: &mut Path,
        problems: &mut Problems,
    ) {
        let branches = self.branches(layer);
        if branches.is_empty() {
            return;
        }
        let may_be = |branch: &Branch<'a>| self.types(branch.schema, 0).has(Types::of(value));
        let fits = branches.iter().copied().filter(may_be).collect();
        let name = branches.iter().find_map(|branch| branch.choice).unwrap_or(origin);
        let choice = Choice { name, branches, fits };
        match value {
            Value::String(word) => self.choose_by_word(&choice, word, value, path, problems),
            _ if choice.fits.is_empty() => self.none_fits(&choice, value, path, problems),
            Value::Object(map) => self.choose_by_tag(&choice, map, value, path, problems),
            _ => self.choose_by_fit(&choice.fits, value, path, problems),
        }
    }

    /// The alternatives of a layer, with those of alternatives that are nothing but a choice themselves.
    pub(super) fn branches(&self, layer: Layer<'a>) -> Vec<Branch<'a>> {
        let mut branches = Vec::new();
        self.collect_branches(layer, None, 0, &mut branches);
        branches
    }

    fn collect_branches(
        &self,
        layer: Layer<'a>,
        choice: Option<&'a Value>,
        hops: usize,
        branches: &mut Vec<Branch<'a>>,
    ) {
        for schema in list_of(layer, "oneOf").chain(list_of(layer, "anyOf")) {
            let inner = self.layers(schema).into_iter().find(|layer| is_choice_only(layer));
            match inner.filter(|_| hops < super::MAX_HOPS) {
                Some(inner) => self.collect_branches(inner, Some(schema), hops + 1, branches),
                None => branches.push(Branch { schema, choice }),
            }
        }
    }

    fn choose_by_word(
        &self,
        choice: &Choice<'a>,
        word: &str,
        value: &Value,
        path: &mut Path,
        problems: &mut Problems,
    ) {
        let words = self.words(&choice.fits);
        if words.contains(&word) {
            return;
        }
        let tags: Vec<&str> = self.tagged(&choice.branches).into_iter().map(|(tag, _)| tag).collect();
        let is_open = |branch: &Branch<'a>| self.constants(branch).is_empty();
        let open: Vec<Branch<'a>> = choice.fits.iter().copied().filter(is_open).collect();
        let known = [words, tags.clone()].concat();
        if !open.is_empty() {
            let mut found = Problems::new();
            self.choose_by_fit(&open, value, path, &mut found);
            if found.is_empty() || suggest(word, known.iter().copied()).is_none() {
                return problems.extend(found);
            }
        }
        if tags.contains(&word) {
            let message = format!("`{word}` needs a value of its own");
            problems.at_value(path, message).help(format!("write {{ {word}: … }}"));
        } else if (choice.fits.is_empty() || self.offers_more(&choice.branches))
            && suggest(word, known.iter().copied()).is_none()
        {
            self.none_fits(choice, value, path, problems);
        } else {
            self.unknown_kind(word, &known, choice.name, (path, Part::Value), problems);
        }
    }

    fn choose_by_tag(
        &self,
        choice: &Choice<'a>,
        map: &Map<String, Value>,
        value: &Value,
        path: &mut Path,
        problems: &mut Problems,
    ) {
        let tagged = self.tagged(&choice.fits);
        let all_tagged = tagged.len() == choice.fits.len();
        let given: Vec<&Tagged<'a>> = tagged.iter().filter(|(tag, _)| map.contains_key(*tag)).collect();
        match given.as_slice() {
            [(_, branch)] => return self.check(branch.schema, value, path, problems),
            [(first, _), (second, _), ..] if all_tagged => {
                let noun = self.noun(choice.name, path);
                let message =
                    format!("`{first}` and `{second}` are two kinds of {noun}; only one can be given");
                problems.at_key(&path.join(*second), message);
                return;
            }
            _ => {}
        }
        if let Some((field, kinds)) = self.inner_tag(&choice.fits) {
            return self.choose_by_inner_tag(choice, (field, &kinds), (map, value), path, problems);
        }
        if !all_tagged {
            let is_untagged = |branch: &Branch<'a>| self.tag(branch).is_none();
            let untagged: Vec<Branch<'a>> = choice.fits.iter().copied().filter(is_untagged).collect();
            return self.choose_by_fit(&untagged, value, path, problems);
        }
        let Some(key) = map.keys().next() else { return self.none_fits(choice, value, path, problems) };
        let words = self.words(&choice.branches);
        if words.contains(&key.as_str()) {
            problems
                .at_key(&path.join(key), format!("`{key}` takes no value"))
                .help(format!("write {key} alone"));
            return;
        }
        let known = [words, tagged.iter().map(|(tag, _)| *tag).collect()].concat();
        self.unknown_kind(key, &known, choice.name, (&path.join(key), Part::Key), problems);
    }

    fn choose_by_inner_tag(
        &self,
        choice: &Choice<'a>,
        (field, kinds): (&'a str, &[Tagged<'a>]),
        (map, value): (&Map<String, Value>, &Value),
        path: &mut Path,
        problems: &mut Problems,
    ) {
        let known: Vec<&str> = kinds.iter().map(|(kind, _)| *kind).collect();
        let all = quoted(known.iter().map(|&kind| kind.to_owned()));
        let Some(given) = map.get(field) else {
            problems
                .at_key(path, format!("missing field `{field}`{}", of(path)))
                .help(format!("{field}: {all}"));
            return;
        };
        let at = path.join(field);
        match (given.as_str(), kinds.iter().find(|(kind, _)| Some(*kind) == given.as_str())) {
            (_, Some((_, branch))) => self.check(branch.schema, value, path, problems),
            (Some(word), None) => self.unknown_kind(word, &known, choice.name, (&at, Part::Value), problems),
            (None, None) => self.unexpected(&all, given, &at, problems),
        }
    }

    /// The problems of the branch that has the fewest; none, if a branch has none.
    fn choose_by_fit(&self, fits: &[Branch<'a>], value: &Value, path: &mut Path, problems: &mut Problems) {
        let tried = fits.iter().map(|branch| {
            let mut found = Problems::new();
            self.check(branch.schema, value, path, &mut found);
            found
        });
        if let Some(best) = tried.min_by_key(Problems::len) {
            problems.extend(best);
        }
    }

    fn none_fits(&self, choice: &Choice<'a>, value: &Value, path: &Path, problems: &mut Problems) {
        self.unexpected(&join_clauses(self.describe_choice(&choice.branches)), value, path, problems);
        if let (false, Some(text)) = (value.is_object(), self.document.plain_text(path))
            && let Some((tag, _)) = self.tagged(&choice.branches).into_iter().find(|(tag, branch)| {
                let mut found = Problems::new();
                let tagged = Map::from_iter([((*tag).to_owned(), value.clone())]);
                self.check(branch.schema, &Value::Object(tagged), &mut path.clone(), &mut found);
                found.is_empty()
            })
        {
            problems.help(format!("write {{ {tag}: {} }}", scalar::shorten(&text)));
        }
    }

    /// Reports a key or a word that names no alternative of the choice that `name` leads to.
    pub(super) fn unknown_kind(
        &self,
        word: &str,
        known: &[&str],
        name: &'a Value,
        (path, part): (&Path, Part),
        problems: &mut Problems,
    ) {
        let owner = if part == Part::Key { path.parent() } else { None };
        let noun = self.noun(name, owner.as_ref().unwrap_or(path));
        let mut message = format!("unknown kind of {noun} `{}`", scalar::shorten(word));
        if let Some(meant) = suggest(word, known.iter().copied()) {
            message.push_str(&format!("; did you mean `{meant}`?"));
        }
        problems.at(path, part, message);
        if known.len() <= LONGEST_LIST {
            problems.help(format!("known: {}", known.join(", ")));
        }
    }

    pub(super) fn describe_choice(&self, branches: &[Branch<'a>]) -> Vec<String> {
        let tags = self.tagged(branches).into_iter().map(|(tag, _)| format!("{tag}: …"));
        let words: Vec<String> = self.words(branches).into_iter().map(str::to_owned).chain(tags).collect();
        let untold = branches.iter().filter(|branch| self.is_untold(branch));
        let mut parts: Vec<String> = untold.map(|branch| self.describe(branch.schema)).collect();
        if !words.is_empty() {
            parts.push(quoted(words.into_iter()));
        }
        parts
    }

    /// The types that a schema can accept at all.
    fn types(&self, schema: &'a Value, hops: usize) -> Types {
        if schema == &Value::Bool(false) {
            return Types::NONE;
        }
        let mut types = Types::ALL;
        for layer in self.layers(schema) {
            types = types.and(types_of(layer));
            let constants = constants_of(layer);
            if !constants.is_empty() {
                types = types.and(
                    constants.into_iter().fold(Types::NONE, |all, constant| all.or(Types::of(constant))),
                );
            }
            let branches = self.branches(layer);
            if !branches.is_empty() && hops < super::MAX_HOPS {
                let any = branches
                    .iter()
                    .fold(Types::NONE, |all, branch| all.or(self.types(branch.schema, hops + 1)));
                types = types.and(any);
            }
        }
        types
    }

    /// The constants of a branch; empty when it is open.
    fn constants(&self, branch: &Branch<'a>) -> Vec<&'a Value> {
        self.layers(branch.schema).into_iter().flat_map(constants_of).collect()
    }

    /// Whether anything but words and tags can be given: numbers, lists, mappings without a tag.
    fn offers_more(&self, branches: &[Branch<'a>]) -> bool {
        branches.iter().any(|branch| self.is_untold(branch))
    }

    /// Whether naming the words and the tags of a choice leaves this branch out.
    fn is_untold(&self, branch: &Branch<'a>) -> bool {
        let named = self.tag(branch).is_some() || !self.constants(branch).is_empty();
        !named && self.types(branch.schema, 0) != Types::NULL
    }

    fn words(&self, branches: &[Branch<'a>]) -> Vec<&'a str> {
        branches.iter().flat_map(|branch| self.constants(branch)).filter_map(Value::as_str).collect()
    }

    fn tagged(&self, branches: &[Branch<'a>]) -> Vec<Tagged<'a>> {
        branches.iter().filter_map(|branch| Some((self.tag(branch)?, *branch))).collect()
    }

    /// The single field of a mapping that has just one, and needs it.
    fn tag(&self, branch: &Branch<'a>) -> Option<&'a str> {
        self.layers(branch.schema).into_iter().find_map(|layer| {
            let fields = layer.get("properties")?.as_object()?;
            let required: Vec<&str> = list_of(layer, "required").filter_map(Value::as_str).collect();
            match required.as_slice() {
                [tag] if fields.len() == 1 && self.constant_field(layer, tag).is_none() => Some(*tag),
                _ => None,
            }
        })
    }

    /// The field that all these branches have with a constant each, and the constants.
    fn inner_tag(&self, branches: &[Branch<'a>]) -> Option<(&'a str, Vec<Tagged<'a>>)> {
        let first = self
            .layers(branches.first()?.schema)
            .into_iter()
            .find(|layer| layer.contains_key("properties"))?;
        first.get("properties")?.as_object()?.keys().find_map(|field| {
            let kinds = branches.iter().map(|branch| {
                let layers = self.layers(branch.schema);
                let kind = layers.into_iter().find_map(|layer| self.constant_field(layer, field))?;
                Some((kind, *branch))
            });
            Some((field.as_str(), kinds.collect::<Option<Vec<_>>>()?))
        })
    }

    fn constant_field(&self, layer: Layer<'a>, field: &str) -> Option<&'a str> {
        layer.get("properties")?.get(field)?.get("const")?.as_str()
    }
}

/// A schema that only offers alternatives, and may describe itself.
fn is_choice_only(layer: Layer<'_>) -> bool {
    let offers = layer.contains_key("oneOf") || layer.contains_key("anyOf");
    offers
        && !["type", "properties", "$ref", "allOf", "format"]
            .iter()
            .any(|keyword| layer.contains_key(*keyword))
}
