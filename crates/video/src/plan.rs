//! Which packets must be decoded to get the wanted frames, whatever the back-end.
//!
//! Wanted frames are grouped into runs. A run starts at a key frame and ends at its last wanted packet; packets between
//! that are neither wanted nor referred to are skipped when their bytes are seen. No packet is decoded twice, and the
//! file is read once, forward.

use crate::demux::Packet;

/// A stretch of packets, in decoding order, that the decoder must see from its key frame on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// First packet: a key frame (or packet 0).
    pub start: usize,
    /// Last packet: a wanted one.
    pub end: usize,
}

/// The runs that cover the wanted packets.
pub(crate) struct Plan {
    pub runs: Vec<Run>,
    /// For every packet of the track: wanted.
    pub wanted: Vec<bool>,
}

impl Plan {
    /// Plans for wanted packet numbers, in any order, repeats allowed; numbers outside are ignored.
    pub fn new(packets: &[Packet], wanted_packets: &[usize]) -> Self {
        let mut wanted = vec![false; packets.len()];
        for &number in wanted_packets {
            if let Some(flag) = wanted.get_mut(number) {
                *flag = true;
            }
        }
        let mut runs: Vec<Run> = Vec::new();
        let mut keys: Vec<usize> = Vec::new();
        for (number, packet) in packets.iter().enumerate() {
            if packet.key {
                keys.push(number);
            }
            if !wanted[number] {
                continue;
            }
            // A picture shown before its key frame (open GOP) may refer to pictures before that key frame.
            let start = keys.iter().rev().copied().find(|&key| packets[key].pts <= packet.pts).unwrap_or(0);
            match runs.last_mut() {
                Some(run) if start <= run.end => run.end = number,
                _ => runs.push(Run { start, end: number }),
            }
        }
        Self { runs, wanted }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One letter a packet in decoding order: `K` key, `p` other; digits are presentation times.
    fn check(stream: &str, wanted: &[usize], expect: &[(usize, usize)]) {
        let packets: Vec<Packet> = stream
            .split(' ')
            .map(|p| Packet { pts: p[1..].parse().unwrap(), offset: 0, size: 1, key: p.starts_with('K'), shown: true })
            .collect();
        let runs: Vec<_> = Plan::new(&packets, wanted).runs.iter().map(|run| (run.start, run.end)).collect();
        assert_eq!(runs, expect, "{stream} {wanted:?}");
    }

    #[test]
    fn runs_start_at_key_frames_and_never_overlap() {
        let closed = "K0 p2 p1 K3 p5 p4 K6 p8 p7";
        check(closed, &[2], &[(0, 2)]);
        check(closed, &[0, 5], &[(0, 0), (3, 5)]);
        check(closed, &[1, 2, 8], &[(0, 2), (6, 8)]);
        check(closed, &[4, 4, 5], &[(3, 5)]);
        let open = "K0 p1 K4 p2 p3 p5 K8 p6 p7";
        check(open, &[3], &[(0, 3)]);
        check(open, &[0, 5], &[(0, 0), (2, 5)]);
        check(open, &[5, 7], &[(2, 7)]);
        check("p0 p1 K2", &[1], &[(0, 1)]);
        check("K0", &[9], &[]);
    }
}
