//! Letters for signs: three by five dots each, drawn for this world.

/// Rows of a letter from the top, three dots each (4 is the left one); none for a letter that no sign has.
fn rows(letter: char) -> Option<[u8; 5]> {
    Some(match letter {
        'C' => [7, 4, 4, 4, 7],
        'D' => [6, 5, 5, 5, 6],
        'E' => [7, 4, 6, 4, 7],
        'H' => [5, 5, 7, 5, 5],
        'I' => [7, 2, 2, 2, 7],
        'K' => [5, 6, 4, 6, 5],
        'L' => [4, 4, 4, 4, 7],
        'M' => [5, 7, 7, 5, 5],
        'O' => [7, 5, 5, 5, 7],
        'P' => [7, 5, 7, 4, 4],
        'R' => [6, 5, 6, 5, 5],
        'S' => [7, 4, 7, 1, 7],
        'T' => [7, 2, 2, 2, 2],
        'W' => [5, 5, 7, 7, 5],
        'Y' => [5, 5, 2, 2, 2],
        '2' => [7, 1, 7, 4, 7],
        '3' => [7, 1, 7, 1, 7],
        '5' => [7, 4, 7, 1, 7],
        _ => return None,
    })
}

/// Runs of dots of a line of text as `[left, low, right, high]`; a letter is 3 wide and 5 high, the next begins at 4.
pub(crate) fn runs(text: &str) -> Vec<[f32; 4]> {
    let mut runs = Vec::new();
    for (number, rows) in text.chars().map(|letter| rows(letter).unwrap_or_default()).enumerate() {
        let left = 4.0 * number as f32;
        for (down, row) in (0u8..).zip(rows) {
            let high = 5.0 - f32::from(down);
            let mut dot = 0;
            while dot < 3 {
                let from = dot;
                while dot < 3 && row & (4 >> dot) != 0 {
                    dot += 1;
                }
                if dot > from {
                    runs.push([left + f32::from(from as u8), high - 1.0, left + f32::from(dot as u8), high]);
                } else {
                    dot += 1;
                }
            }
        }
    }
    runs
}

/// Width of a line of text in dots.
pub(crate) fn width(text: &str) -> f32 {
    4.0 * text.chars().count() as f32 - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_cover_the_dots_of_a_letter() {
        let dots: f32 = runs("STOP").iter().map(|[l, b, r, t]| (r - l) * (t - b)).sum();
        assert_eq!(dots, 11.0 + 7.0 + 12.0 + 10.0);
        assert_eq!(width("STOP"), 15.0);
        assert!(runs("~").is_empty());
    }
}
