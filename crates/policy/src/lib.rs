//! One defence per file: timeouts, retries, budgets, breakers, pools.
