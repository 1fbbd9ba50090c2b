//! Plain facts about a scene, asked and answered: what a model learns before it meets the benchmark.
//!
//! The questions are not those of the pool and use other words: what fine-tuning adds is the fleet's language, its
//! questions, and its rarer scenes.

use crate::scene::*;

/// A question about a scene with all answers it could have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// The same question in several words.
    pub questions: [&'static str; 3],
    /// All answers.
    pub answers: &'static [&'static str],
    /// Place of the true one.
    pub truth: usize,
}

fn fact(questions: [&'static str; 3], answers: &'static [&'static str], truth: usize) -> Fact {
    Fact { questions, answers, truth }
}

const KINDS: &[&str] = &[
    "a car",
    "an SUV",
    "a van",
    "a truck",
    "a bus",
    "a taxi",
    "a police car",
    "an ambulance",
    "a fire truck",
    "nothing",
];
const COLOURS: &[&str] = &["white", "gray", "black", "red", "yellow", "blue", "green", "there is none"];
const SIDES: &[&str] = &["on no side", "on the left", "on the right", "on both sides"];

/// Everything that general questions ask about a scene.
pub fn general_facts(scene: &Scene) -> Vec<Fact> {
    let mut facts = about_place(scene);
    facts.extend(about_things(scene));
    facts.extend(about_people(scene));
    facts.extend(about_motion(scene));
    facts.extend(about_roadside(scene));
    facts
}

fn about_place(scene: &Scene) -> Vec<Fact> {
    vec![
        fact(
            ["Which kind of road is seen?", "Where does this drive take place?", "Name the road."],
            &["a city street", "a residential street", "a highway", "a rural road"],
            scene.road as usize,
        ),
        fact(
            ["What lies beside the road?", "What is next to the street?", "Name the land around."],
            &["shops and offices", "homes", "industry", "fields or forest"],
            scene.land as usize,
        ),
        fact(
            ["How light is it?", "When was this filmed?", "Name the light."],
            &["daylight", "dusk", "a lit night", "a dark night"],
            scene.time as usize,
        ),
        fact(
            ["How is the sky?", "Which weather is seen?", "Name the weather."],
            &["clear", "cloudy", "rainy", "foggy"],
            scene.weather as usize,
        ),
        fact(
            ["How many lanes go this way?", "Count the lanes on this side.", "Name the number of lanes."],
            &["one", "two", "three", "four"],
            usize::from(scene.lanes.saturating_sub(1)),
        ),
        fact(
            ["How does the ground look?", "What is the road made like?", "Name the surface."],
            &["dry", "wet", "patched", "gravel"],
            scene.surface as usize,
        ),
        fact(
            ["Where are houses or halls?", "On which side do buildings stand?", "Name the side of the buildings."],
            SIDES,
            scene.buildings as usize,
        ),
        fact(
            ["Does the road bend?", "Which way does the road go?", "Name the course of the road."],
            &["straight", "to the left", "to the right"],
            scene.bend as usize,
        ),
        fact(
            ["Do roads meet here?", "Which crossing of roads is seen?", "Name the junction."],
            &["none", "a four-way crossing", "a T crossing", "a ramp"],
            scene.junction as usize,
        ),
    ]
}

fn about_things(scene: &Scene) -> Vec<Fact> {
    let light = scene.light.map_or(4, |light| light as usize);
    let sign = scene.sign.map_or(6, |sign| match sign {
        Sign::Stop => 0,
        Sign::Yield => 1,
        Sign::Speed25 | Sign::Speed35 | Sign::Speed55 => 2,
        Sign::Work => 3,
        Sign::School => 4,
        Sign::Parking => 5,
    });
    let people = scene.people.map_or(3, |people| match (people.crosses(), people.side) {
        (true, _) => 2,
        (false, Side::Left) => 0,
        (false, Side::Right) => 1,
    });
    vec![
        fact(
            ["What drives in front?", "Which vehicle is ahead?", "Name the vehicle in front."],
            KINDS,
            scene.lead.map_or(9, |lead| lead.vehicle.kind as usize),
        ),
        fact(
            ["Which paint has the vehicle in front?", "What color is ahead?", "Name the color in front."],
            COLOURS,
            scene.lead.map_or(7, |lead| lead.vehicle.colour as usize),
        ),
        fact(
            ["Which light is on?", "What does the signal show?", "Name the signal."],
            &["red", "green", "first red, then green", "first green, then red", "there is none"],
            light,
        ),
        fact(
            ["Which sign stands there?", "What does the sign say?", "Name the sign."],
            &["stop", "yield", "speed limit", "work", "school", "parking", "there is none"],
            sign,
        ),
        fact(
            ["Where is somebody on foot?", "Where do people walk or stand?", "Name the place of the people."],
            &["on the left", "on the right", "crossing", "nobody is there"],
            people,
        ),
        fact(
            ["Where do vehicles stand parked?", "On which side are parked cars?", "Name the side of the parked cars."],
            SIDES,
            scene.parked as usize,
        ),
        fact(
            ["Is anybody on a bicycle?", "Where is a rider of a bicycle?", "Name the place of the bicycle."],
            &["nowhere", "on the left", "on the right", "crossing"],
            scene.cyclist as usize,
        ),
        fact(
            [
                "How many vehicles come the other way?",
                "How busy is the other side?",
                "Name the traffic on the other side.",
            ],
            &["none", "a few", "many"],
            scene.density as usize,
        ),
        fact(
            ["What stands over or along the road?", "Which structure is there?", "Name the structure."],
            &["none", "a bridge", "a wall in the middle", "a rail"],
            scene.structure as usize,
        ),
    ]
}

fn about_people(scene: &Scene) -> Vec<Fact> {
    let people = scene.people;
    vec![
        fact(
            ["Who is on foot?", "Which persons are seen?", "Name the persons."],
            &["a grown-up", "a kid", "a pair", "a parent and a kid", "three persons", "a family", "nobody"],
            people.map_or(6, |people| people.group as usize),
        ),
        fact(
            ["How do the persons move?", "What is the way of the persons?", "Name the way of the persons."],
            &["they go along", "they stay", "they come over from the left", "they come over from the right", "nobody"],
            people.map_or(4, |people| people.act as usize),
        ),
        fact(
            ["What do the persons have in hand?", "Which thing is held?", "Name the thing in hand."],
            &["free hands", "luggage", "a rain shield", "nobody"],
            people.map_or(3, |people| people.carried as usize),
        ),
    ]
}

fn about_motion(scene: &Scene) -> Vec<Fact> {
    let act = scene.lead.map_or(9, |lead| lead.act as usize);
    let crosser = scene.crosser.map_or(0, |crosser| 1 + crosser.from as usize);
    let neighbour = scene.neighbour.map_or(0, |(side, _)| 1 + side as usize);
    vec![
        fact(
            ["Which way goes the camera?", "Where does the camera car go?", "Name the way of the camera."],
            &["ahead", "off to the left", "off to the right", "a lane left", "a lane right", "out and back"],
            scene.ego.path as usize,
        ),
        fact(
            ["How fast is the camera?", "Which pace has the camera car?", "Name the pace of the camera."],
            &["even", "slower", "faster", "to a halt", "a halt between", "off from a halt", "at rest"],
            scene.ego.speed as usize,
        ),
        fact(
            ["What happens in front?", "How does the one in front behave?", "Name the act in front."],
            &[
                "rolls on",
                "gets slower",
                "comes to a halt",
                "goes off left",
                "goes off right",
                "drifts out left",
                "drifts out right",
                "pushes in left",
                "pushes in right",
                "nothing",
            ],
            act,
        ),
        fact(
            ["What drives across?", "Is there traffic from the side?", "Name the traffic across."],
            &["none", "from the left", "from the right"],
            crosser,
        ),
        fact(
            ["What drives beside?", "Is the next lane taken?", "Name the side of the neighbor."],
            &["none", "left", "right"],
            neighbour,
        ),
    ]
}

fn about_roadside(scene: &Scene) -> Vec<Fact> {
    let works = scene.construction.map_or(0, |works| 1 + works.objects as usize);
    let workers = scene.construction.and_then(|works| works.workers).map_or(0, |act| 1 + act as usize);
    vec![
        fact(
            ["What closes off a part of the road?", "Which works are seen?", "Name the works."],
            &["none", "cones", "stripes", "a digger"],
            works,
        ),
        fact(
            ["What does the crew do?", "Is a crew at work?", "Name the act of the crew."],
            &["none", "idle", "digs", "holds a paddle"],
            workers,
        ),
        fact(
            ["What stands at the kerb?", "What goes on at the kerb?", "Name the scene at the kerb."],
            &["nothing", "a van with goods", "a bus with riders", "a car with blinkers", "a beacon"],
            scene.kerb as usize,
        ),
        fact(
            ["What lies in the way?", "Is something on the ground?", "Name the thing on the ground."],
            &["nothing", "a box", "a hole", "a puddle"],
            scene.hazard as usize,
        ),
        fact(
            ["Are there stripes to walk on?", "Can one walk over?", "Name the stripes to walk on."],
            &["no", "yes"],
            usize::from(scene.crosswalk),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fact_has_its_answer() {
        for seed in 0..300 {
            let scene = Scene::draw(seed, Domain::General);
            for fact in general_facts(&scene) {
                assert!(fact.truth < fact.answers.len(), "{fact:?}");
            }
        }
    }
}
