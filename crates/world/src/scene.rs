//! What is in a scene, and how it is said.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Light and weather.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sky {
    /// Blue sky.
    Clear,
    /// Grey sky.
    Overcast,
    /// Dark sky.
    Night,
}

/// Paint of the vehicle ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// Red.
    Red,
    /// White.
    White,
    /// Blue.
    Blue,
    /// Yellow.
    Yellow,
}

/// Kind of the vehicle ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vehicle {
    /// Low.
    Car,
    /// Tall.
    Truck,
}

/// What the car with the camera does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ego {
    /// Keeps its distance.
    Follow,
    /// Comes closer and stops.
    Stop,
    /// Moves one lane to the left.
    LaneChange,
}

/// One short drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scene {
    /// Light and weather.
    pub sky: Sky,
    /// Number of lanes, 2 or 3.
    pub lanes: u32,
    /// The vehicle ahead.
    pub vehicle: Vehicle,
    /// Its paint.
    pub colour: Colour,
    /// What the car with the camera does.
    pub ego: Ego,
}

impl Scene {
    /// The scene of a seed.
    pub fn draw(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        Self {
            sky: [Sky::Clear, Sky::Overcast, Sky::Night][rng.random_range(0..3)],
            lanes: rng.random_range(2..=3),
            vehicle: [Vehicle::Car, Vehicle::Truck][rng.random_range(0..2)],
            colour: [Colour::Red, Colour::White, Colour::Blue, Colour::Yellow][rng.random_range(0..4)],
            ego: [Ego::Follow, Ego::Stop, Ego::LaneChange][rng.random_range(0..3)],
        }
    }

    /// A caption that is true of the scene.
    pub fn caption(&self) -> String {
        let sky = match self.sky {
            Sky::Clear => "A drive under a clear blue sky",
            Sky::Overcast => "A drive under a grey, overcast sky",
            Sky::Night => "A drive at night",
        };
        let lanes = if self.lanes == 2 { "two" } else { "three" };
        let colour = match self.colour {
            Colour::Red => "red",
            Colour::White => "white",
            Colour::Blue => "blue",
            Colour::Yellow => "yellow",
        };
        let vehicle = match self.vehicle {
            Vehicle::Car => "car",
            Vehicle::Truck => "truck",
        };
        let ego = match self.ego {
            Ego::Follow => "follows it at a steady distance",
            Ego::Stop => "slows down and stops behind it",
            Ego::LaneChange => "moves one lane to the left and passes it",
        };
        format!("{sky} on a straight road with {lanes} lanes. A {colour} {vehicle} is ahead. The ego vehicle {ego}.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_scene_and_seeds_differ() {
        assert_eq!(Scene::draw(3), Scene::draw(3));
        let captions: std::collections::HashSet<String> = (0..40).map(|seed| Scene::draw(seed).caption()).collect();
        assert!(captions.len() > 20, "{} captions from 40 seeds", captions.len());
    }
}
