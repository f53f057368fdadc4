//! Where to measure next on a grid of two settings: cells whose known points differ are quartered until they
//! are one step wide, so that the work follows the border (a quadtree, refined as in Finkel and Bentley, "Quad
//! trees", Acta Informatica 4, 1974). Pure: it is told classes and asks for points; it runs nothing.
//!
//! What it promises: when it asks for nothing any more, every cell wider than one step has only equal known
//! points, inside and on its edges. A region that lies inside such a cell without touching a known point is
//! not seen: the first cells must be finer than what is looked for. Where the class changes once along every
//! row and column (a monotone border), nothing is missed.

use std::collections::BTreeMap;

/// A point of the grid: column, row.
pub type Point = (usize, usize);

/// A cell by its corners, all of them points of the grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell {
    left: usize,
    right: usize,
    low: usize,
    high: usize,
}

impl Cell {
    fn corners(self) -> [Point; 4] {
        [(self.left, self.low), (self.right, self.low), (self.left, self.high), (self.right, self.high)]
    }

    fn holds(self, (x, y): Point) -> bool {
        (self.left..=self.right).contains(&x) && (self.low..=self.high).contains(&y)
    }

    fn is_one_step(self) -> bool {
        self.right - self.left <= 1 && self.high - self.low <= 1
    }

    fn parts(self) -> Vec<Cell> {
        let halves = |from: usize, to: usize| match to - from {
            0 | 1 => vec![(from, to)],
            wide => vec![(from, from + wide / 2), (from + wide / 2, to)],
        };
        let rows = halves(self.low, self.high);
        let columns = halves(self.left, self.right).into_iter();
        columns
            .flat_map(|(left, right)| rows.iter().map(move |&(low, high)| Cell { left, right, low, high }))
            .collect()
    }
}

/// A grid whose points are known bit by bit.
#[derive(Clone, Debug)]
pub struct Refinement<C> {
    cells: Vec<Cell>,
    known: BTreeMap<Point, C>,
}

impl<C: Copy + PartialEq> Refinement<C> {
    /// A grid of `columns` times `rows` points, looked at in about `first` times `first` cells at first; an axis
    /// with fewer steps in as many as it has.
    ///
    /// # Panics
    ///
    /// If there is no point, or `first` is 0.
    pub fn new(columns: usize, rows: usize, first: usize) -> Refinement<C> {
        assert!(columns > 0 && rows > 0 && first > 0, "a grid of {columns} x {rows} in {first} cells");
        let cuts = |points: usize| -> Vec<(usize, usize)> {
            let last = points - 1;
            let step = (last / first).max(1);
            match last {
                0 => vec![(0, 0)],
                _ => (0..last).step_by(step).map(|from| (from, (from + step).min(last))).collect(),
            }
        };
        let rows = cuts(rows);
        let cells = cuts(columns)
            .into_iter()
            .flat_map(|(left, right)| rows.iter().map(move |&(low, high)| Cell { left, right, low, high }))
            .collect();
        Refinement { cells, known: BTreeMap::new() }
    }

    /// Tells the class of a point.
    pub fn learn(&mut self, point: Point, class: C) {
        self.known.insert(point, class);
    }

    /// The points to measure next, in order; none when every border is followed to its last step.
    pub fn wanted(&mut self) -> Vec<Point> {
        loop {
            let mut unknown: Vec<Point> = self.cells.iter().flat_map(|cell| cell.corners()).collect();
            unknown.retain(|point| !self.known.contains_key(point));
            unknown.sort_unstable();
            unknown.dedup();
            if !unknown.is_empty() {
                return unknown;
            }
            let (split, whole): (Vec<Cell>, Vec<Cell>) =
                self.cells.iter().partition(|cell| !cell.is_one_step() && self.uniform(**cell).is_none());
            if split.is_empty() {
                return Vec::new();
            }
            self.cells = whole;
            self.cells.extend(split.into_iter().flat_map(Cell::parts));
        }
    }

    /// The class that all known points of a cell have, edges included; none if they differ, or none is known.
    fn uniform(&self, cell: Cell) -> Option<C> {
        let columns = self.known.range((cell.left, 0)..=(cell.right, usize::MAX));
        let mut classes = columns.filter(|(point, _)| cell.holds(**point)).map(|(_, class)| *class);
        let first = classes.next()?;
        classes.all(|class| class == first).then_some(first)
    }

    /// The measured points in order.
    pub fn known(&self) -> &BTreeMap<Point, C> {
        &self.known
    }

    /// The class of a point: as measured, or that of the cell around it if all its known corners agree. None
    /// where nothing is known yet.
    pub fn class(&self, point: Point) -> Option<C> {
        if let Some(class) = self.known.get(&point) {
            return Some(*class);
        }
        let cell = self.cells.iter().find(|cell| cell.holds(point))?;
        let all_known = cell.corners().iter().all(|corner| self.known.contains_key(corner));
        self.uniform(*cell).filter(|_| all_known)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Measures until nothing is wanted; returns the refinement and how many points it cost.
    fn refine(columns: usize, rows: usize, first: usize, field: &dyn Fn(Point) -> u8) -> Refinement<u8> {
        let mut refinement = Refinement::new(columns, rows, first);
        loop {
            let wanted = refinement.wanted();
            if wanted.is_empty() {
                return refinement;
            }
            for point in wanted {
                assert!(!refinement.known().contains_key(&point), "{point:?} was measured twice");
                refinement.learn(point, field(point));
            }
        }
    }

    /// One border per column, never falling from column to column by design of the caller.
    fn below(heights: &[usize]) -> impl Fn(Point) -> u8 + '_ {
        |(x, y)| u8::from(y >= heights[x])
    }

    proptest! {
        #[test]
        fn a_monotone_border_is_found_as_by_brute_force(
            mut heights in proptest::collection::vec(0_usize..40, 1..40), first in 1_usize..9, falls: bool,
        ) {
            heights.sort_unstable();
            if falls {
                heights.reverse();
            }
            let field = below(&heights);
            let refinement = refine(heights.len(), 40, first, &field);
            for x in 0..heights.len() {
                for y in 0..40 {
                    prop_assert_eq!(refinement.class((x, y)), Some(field((x, y))), "at {} {}", x, y);
                }
            }
        }

        #[test]
        fn two_monotone_borders_make_three_regions_as_by_brute_force(
            mut heights in proptest::collection::vec(0_usize..33, 33), width in 0_usize..33, first in 1_usize..9,
        ) {
            heights.sort_unstable();
            heights.reverse();
            let field = |(x, y): Point| if x < width { 2 } else { u8::from(y >= heights[x]) };
            let refinement = refine(33, 33, first, &field);
            for point in (0..33).flat_map(|x| (0..33).map(move |y| (x, y))) {
                prop_assert_eq!(refinement.class(point), Some(field(point)));
            }
        }

        #[test]
        fn whatever_the_field_no_wide_cell_holds_two_known_classes(
            columns in 1_usize..30, rows in 1_usize..30, first in 1_usize..9, noise in any::<u64>(), share in 0_u64..100,
        ) {
            // A field of noise: a class by a hash of the point.
            let field = |(x, y): Point| {
                let mut h = noise ^ (x as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (y as u64) << 32;
                h = (h ^ h >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                u8::from((h ^ h >> 27).wrapping_mul(0x94D0_49BB_1331_11EB) >> 33 & 127 < share)
            };
            let refinement = refine(columns, rows, first, &field);
            for cell in &refinement.cells {
                prop_assert!(cell.is_one_step() || refinement.uniform(*cell).is_some());
            }
            for (x, y) in (0..columns).flat_map(|x| (0..rows).map(move |y| (x, y))) {
                prop_assert!(refinement.class((x, y)).is_some());
            }
            prop_assert!(refinement.known().len() <= columns * rows);
            prop_assert!(refinement.known().iter().all(|(point, class)| *class == field(*point)));
        }
    }

    #[test]
    fn the_work_follows_the_border_and_not_the_area() {
        let heights: Vec<usize> = (0..257).map(|x| 256 - x).collect();
        let spent = refine(257, 257, 8, &below(&heights)).known().len();
        assert!(spent < 257 * 257 / 30, "{spent} of {}", 257 * 257);
        let flat = refine(257, 257, 8, &|_| 0).known().len();
        assert_eq!(flat, 9 * 9, "where nothing changes, only the first corners are measured");
    }

    #[test]
    fn an_island_is_seen_if_a_first_corner_lies_on_it_and_only_then() {
        let island = |centre: Point| {
            move |(x, y): Point| u8::from(x.abs_diff(centre.0) < 3 && y.abs_diff(centre.1) < 3)
        };
        let seen = refine(33, 33, 4, &island((16, 8)));
        assert_eq!((seen.class((18, 10)), seen.class((19, 8))), (Some(1), Some(0)));
        let missed = refine(33, 33, 4, &island((20, 12)));
        assert_eq!(missed.class((20, 12)), Some(0));
    }

    #[test]
    fn before_anything_is_known_nothing_is_said() {
        let mut refinement: Refinement<u8> = Refinement::new(9, 9, 2);
        assert_eq!(refinement.class((3, 3)), None);
        refinement.learn((0, 0), 1);
        assert_eq!((refinement.class((0, 0)), refinement.class((3, 3))), (Some(1), None));
        assert_eq!(refinement.wanted().len(), 8);
    }
}
