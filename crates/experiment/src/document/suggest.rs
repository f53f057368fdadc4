//! The word that was probably meant. Spelling only: it knows no schema.

/// Words longer than this are not compared: the comparison is quadratic, and nobody types them.
const LONGEST: usize = 64;

/// The candidate that `word` is most likely a slip of: up to a third of the letters (and at least one)
/// left out, added, replaced or swapped (Damerau and Levenshtein's distance), letter case
/// and the kind of dash aside. The
/// first of equally near candidates; `None` when nothing is near.
pub fn suggest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().count();
    if length > LONGEST {
        return None;
    }
    let word = word.to_lowercase();
    let near = candidates.into_iter().filter(|candidate| candidate.len() <= 2 * LONGEST).map(|candidate| {
        let plain = candidate.to_lowercase().replace('-', "_");
        let allowed = (length.max(candidate.chars().count()) / 3).max(1);
        (strsim::damerau_levenshtein(&word.replace('-', "_"), &plain), allowed, candidate)
    });
    // A word of one or two letters is one step from every other: require that something is left of it.
    near.filter(|&(distance, allowed, _)| distance <= allowed && distance < length)
        .min_by_key(|&(distance, ..)| distance)
        .map(|(.., candidate)| candidate)
}
