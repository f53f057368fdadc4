//! The page.
use pumphandle_experiment::result::Story;
/// x
pub fn html(_story: &Story) -> String {
    String::new()
}
