//! What is in a scene: small closed lists, one value each, so that a picture, a caption, a label and an answer can only
//! say the same thing.
//!
//! A [`Scene`] is the truth. It is drawn in `draw`, put in motion in `motion`, painted in `render`, and said in `caption`
//! and the label modules. Times are seconds from the start of a clip of [`CLIP_S`]; left and right are the camera's.

/// Length of a scene in seconds; a clip that is rendered longer stands still at its end.
pub const CLIP_S: f32 = 10.0;

/// Width of a lane in metres.
pub const LANE_M: f32 = 3.2;

/// Makes an enum whose values can be listed.
macro_rules! closed_list {
    ($(#[$doc:meta])* $name:ident { $($(#[$value_doc:meta])* $value:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$value_doc])* $value),+ }

        impl $name {
            /// All values, in the order of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$value),+];
        }
    };
}

closed_list! {
    /// Which part of the world a scene comes from. Both are made of the same things.
    Domain {
        /// Mostly day and dry, fewer actors, and the ego vehicle more often just drives on: for pre-training.
        General,
        /// Everything a fleet meets: for fine-tuning and evaluation.
        Fleet,
    }
}
closed_list! {
    /// Kind of road.
    Road {
        /// City street.
        Urban,
        /// Street between homes.
        Residential,
        /// Highway.
        Highway,
        /// Road between fields.
        Rural,
    }
}
closed_list! {
    /// Use of the land beside the road.
    Land {
        /// Shops and offices.
        Commercial,
        /// Homes.
        Homes,
        /// Halls and warehouses.
        Industry,
        /// Fields or forest.
        Open,
    }
}
closed_list! {
    /// On which sides of the road something is.
    Sides {
        /// Nowhere.
        None,
        /// Left only.
        Left,
        /// Right only.
        Right,
        /// Both sides.
        Both,
    }
}

impl Sides {
    /// Whether the left side is meant.
    pub fn left(self) -> bool {
        matches!(self, Self::Left | Self::Both)
    }

    /// Whether the right side is meant.
    pub fn right(self) -> bool {
        matches!(self, Self::Right | Self::Both)
    }
}

closed_list! {
    /// One side.
    Side {
        /// Left.
        Left,
        /// Right.
        Right,
    }
}

impl Side {
    /// -1 for left, 1 for right.
    pub fn sign(self) -> f32 {
        if self == Self::Left { -1.0 } else { 1.0 }
    }
}

closed_list! {
    /// Light of the day.
    Time {
        /// Day.
        Day,
        /// Dawn or dusk.
        Dusk,
        /// Night with street lights.
        NightLit,
        /// Night without.
        NightDark,
    }
}

impl Time {
    /// Whether it is night.
    pub fn is_night(self) -> bool {
        matches!(self, Self::NightLit | Self::NightDark)
    }
}

closed_list! {
    /// Weather.
    Weather {
        /// Clear sky: sun, or moon and stars.
        Clear,
        /// Clouds.
        Cloudy,
        /// Rain.
        Rain,
        /// Fog.
        Fog,
    }
}
closed_list! {
    /// Surface of the road.
    Surface {
        /// Dry and even.
        Dry,
        /// Wet, with reflections.
        Wet,
        /// Patched or cracked.
        Patched,
        /// Gravel.
        Unpaved,
    }
}
closed_list! {
    /// A structure of the road; at most one.
    Structure {
        /// None.
        None,
        /// A bridge over the road.
        Overpass,
        /// A wall between the directions.
        MedianBarrier,
        /// A rail on the right.
        Guardrail,
    }
}
closed_list! {
    /// Course of the road.
    Bend {
        /// Straight.
        Straight,
        /// To the left.
        Left,
        /// To the right.
        Right,
    }
}
closed_list! {
    /// Junction on the way.
    Junction {
        /// None.
        None,
        /// Two roads cross.
        FourWay,
        /// The road ends at another one.
        Tee,
        /// A lane joins from the right.
        Ramp,
    }
}
closed_list! {
    /// What the traffic light shows during the clip.
    Light {
        /// Red all the time.
        Red,
        /// Green all the time.
        Green,
        /// Red, then green.
        TurnsGreen,
        /// Green, then red.
        TurnsRed,
    }
}
closed_list! {
    /// The sign on the right; a scene has at most one.
    Sign {
        /// Red, STOP.
        Stop,
        /// Red and white triangle, YIELD.
        Yield,
        /// White, SPEED LIMIT 25.
        Speed25,
        /// White, SPEED LIMIT 35.
        Speed35,
        /// White, SPEED LIMIT 55.
        Speed55,
        /// Orange, WORK.
        Work,
        /// Yellow, SCHOOL.
        School,
        /// Blue, P.
        Parking,
    }
}
closed_list! {
    /// A zone with its own rules.
    Zone {
        /// None.
        None,
        /// Construction.
        Construction,
        /// School.
        School,
        /// Signed parking.
        Parking,
    }
}
closed_list! {
    /// What marks a construction zone.
    WorkObjects {
        /// Cones alone.
        Cones,
        /// Striped barriers.
        Barriers,
        /// An excavator behind cones.
        Machine,
    }
}
closed_list! {
    /// What workers do.
    WorkerAct {
        /// Stand.
        Stands,
        /// Swing a tool.
        Works,
        /// Hold a stop paddle.
        Directs,
    }
}

/// A construction zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Construction {
    /// What marks it.
    pub objects: WorkObjects,
    /// What its workers do; none if there are none.
    pub workers: Option<WorkerAct>,
    /// Left: between the directions; right: at the right edge.
    pub side: Side,
}

closed_list! {
    /// Something on the road that should not be there.
    Hazard {
        /// Nothing.
        None,
        /// A box that fell off.
        Debris,
        /// A hole.
        Pothole,
        /// A pool of water.
        Water,
    }
}
closed_list! {
    /// Kind of vehicle.
    Kind {
        /// Low car.
        Car,
        /// Higher car.
        Suv,
        /// Delivery van.
        Van,
        /// Freight truck.
        Truck,
        /// City bus.
        Bus,
        /// Yellow car with a roof sign.
        Taxi,
        /// Police car.
        Police,
        /// Ambulance.
        Ambulance,
        /// Fire truck.
        FireTruck,
    }
}
closed_list! {
    /// Paint of a vehicle.
    Colour {
        /// White.
        White,
        /// Gray.
        Gray,
        /// Black.
        Black,
        /// Red.
        Red,
        /// Yellow.
        Yellow,
        /// Blue.
        Blue,
        /// Green.
        Green,
    }
}

/// A vehicle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Vehicle {
    /// Kind.
    pub kind: Kind,
    /// Paint.
    pub colour: Colour,
}

closed_list! {
    /// What the lead vehicle does.
    LeadAct {
        /// Keeps its speed.
        Steady,
        /// Slows down.
        Slows,
        /// Stops, or stands all the time.
        Stops,
        /// Turns left at the junction.
        TurnsLeft,
        /// Turns right at the junction.
        TurnsRight,
        /// Moves one lane to the left, out of the ego lane.
        LeavesLeft,
        /// Moves one lane to the right.
        LeavesRight,
        /// Comes from the left lane into the ego lane.
        CutsInLeft,
        /// Comes from the right lane.
        CutsInRight,
    }
}

impl LeadAct {
    /// Whether it comes into the lane of the ego vehicle.
    pub fn cuts_in(self) -> bool {
        matches!(self, Self::CutsInLeft | Self::CutsInRight)
    }

    /// Whether it changes lane out of the lane of the ego vehicle.
    pub fn leaves(self) -> bool {
        matches!(self, Self::LeavesLeft | Self::LeavesRight)
    }

    /// Whether it turns off.
    pub fn turns(self) -> bool {
        matches!(self, Self::TurnsLeft | Self::TurnsRight)
    }
}

/// The vehicle ahead in the lane of the ego vehicle.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Lead {
    /// Which.
    pub vehicle: Vehicle,
    /// What it does.
    pub act: LeadAct,
    /// When it begins, in seconds; 0 where it does so all the time.
    pub at_s: f32,
}

closed_list! {
    /// How many others are on the road.
    Density {
        /// Nobody comes the other way.
        None,
        /// Single vehicles.
        Light,
        /// A row of vehicles.
        Dense,
    }
}
closed_list! {
    /// What goes on at the right edge of the road.
    Kerb {
        /// Nothing.
        None,
        /// Somebody loads a van.
        Loading,
        /// A bus stands at its stop and people board.
        BusStop,
        /// A car stands double-parked with flashing lights.
        DoubleParked,
        /// An emergency vehicle stands with its beacons on.
        Emergency,
    }
}
closed_list! {
    /// What people on foot do.
    PeopleAct {
        /// Walk along the road.
        Walk,
        /// Stand and wait.
        Wait,
        /// Cross from the left to the right.
        CrossFromLeft,
        /// Cross from the right to the left.
        CrossFromRight,
    }
}
closed_list! {
    /// Who they are.
    Group {
        /// A man or a woman.
        Adult,
        /// A child.
        Child,
        /// Two adults.
        TwoAdults,
        /// An adult and a child.
        AdultChild,
        /// Three adults.
        ThreeAdults,
        /// Two adults and a child.
        Family,
    }
}

impl Group {
    /// Whether one of them is a child.
    pub fn has_child(self) -> bool {
        matches!(self, Self::Child | Self::AdultChild | Self::Family)
    }

    /// How many they are.
    pub fn size(self) -> usize {
        match self {
            Self::Adult | Self::Child => 1,
            Self::TwoAdults | Self::AdultChild => 2,
            Self::ThreeAdults | Self::Family => 3,
        }
    }
}

closed_list! {
    /// What one of them carries.
    Carried {
        /// Nothing.
        Nothing,
        /// A large bag.
        Bag,
        /// An open umbrella.
        Umbrella,
    }
}

/// The pedestrians of a scene: one party.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct People {
    /// Side of the road they are on; where they come from if they cross.
    pub side: Side,
    /// What they do.
    pub act: PeopleAct,
    /// Who they are.
    pub group: Group,
    /// What the first of them carries.
    pub carried: Carried,
    /// When they step on the road, in seconds; 0 if they do not.
    pub at_s: f32,
}

impl People {
    /// Whether they cross.
    pub fn crosses(&self) -> bool {
        matches!(self.act, PeopleAct::CrossFromLeft | PeopleAct::CrossFromRight)
    }
}

closed_list! {
    /// Where a cyclist is.
    Cyclist {
        /// Nowhere.
        None,
        /// Ahead on the left.
        Left,
        /// Ahead on the right.
        Right,
        /// Crosses ahead.
        Crosses,
    }
}

/// A vehicle that crosses at the junction.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Crosser {
    /// Where it comes from.
    pub from: Side,
    /// Which.
    pub vehicle: Vehicle,
    /// When it passes the middle of the road, in seconds.
    pub at_s: f32,
}

closed_list! {
    /// Way of the ego vehicle.
    Path {
        /// Along the road.
        Straight,
        /// Left at the junction.
        TurnLeft,
        /// Right at the junction.
        TurnRight,
        /// One lane to the left.
        LaneLeft,
        /// One lane to the right.
        LaneRight,
        /// Around something at the right edge, and back.
        Nudge,
    }
}

impl Path {
    /// Whether it turns at the junction.
    pub fn turns(self) -> bool {
        matches!(self, Self::TurnLeft | Self::TurnRight)
    }

    /// Whether it changes lane.
    pub fn changes_lane(self) -> bool {
        matches!(self, Self::LaneLeft | Self::LaneRight)
    }
}

closed_list! {
    /// Speed of the ego vehicle over the clip.
    Speed {
        /// Even.
        Steady,
        /// Slower at the end.
        Slows,
        /// Faster at the end, from a slow start.
        SpeedsUp,
        /// Stands at the end.
        Stops,
        /// Stops and goes on.
        StopsAndGoes,
        /// Stands at the start and goes.
        Starts,
        /// Stands all the time.
        Waits,
    }
}
closed_list! {
    /// Why the ego vehicle slows, stops or stands.
    Reason {
        /// It does not, or for no outer cause.
        None,
        /// Red light.
        Light,
        /// Stop sign or yield sign.
        Sign,
        /// A worker with a stop paddle.
        Paddle,
        /// Vehicle ahead.
        Lead,
        /// People crossing.
        People,
        /// The turn or the bend ahead.
        Turn,
    }
}

/// The ego vehicle.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Ego {
    /// Way.
    pub path: Path,
    /// When the turn or the sideways move begins, in seconds; 0 for straight.
    pub path_at_s: f32,
    /// Speed over the clip.
    pub speed: Speed,
    /// When it begins to slow, stop or go, in seconds; 0 if nothing changes.
    pub speed_at_s: f32,
    /// Why.
    pub reason: Reason,
    /// Whether it follows too closely.
    pub too_close: bool,
}

/// One short drive: the truth about a clip.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Scene {
    /// What it was drawn from.
    pub seed: u64,
    /// Which part of the world.
    pub domain: Domain,
    /// Kind of road.
    pub road: Road,
    /// Lanes in the direction of the ego vehicle, 1 to 4.
    pub lanes: u8,
    /// Lane of the ego vehicle at the start; 0 is the leftmost.
    pub ego_lane: u8,
    /// Land beside the road.
    pub land: Land,
    /// Where buildings are.
    pub buildings: Sides,
    /// Structure of the road.
    pub structure: Structure,
    /// Course of the road.
    pub bend: Bend,
    /// Light of the day.
    pub time: Time,
    /// Weather.
    pub weather: Weather,
    /// Surface.
    pub surface: Surface,
    /// Junction.
    pub junction: Junction,
    /// Whether a crosswalk is marked.
    pub crosswalk: bool,
    /// Traffic light.
    pub light: Option<Light>,
    /// When the light changes, in seconds; 0 if it does not.
    pub light_at_s: f32,
    /// Sign.
    pub sign: Option<Sign>,
    /// Zone.
    pub zone: Zone,
    /// Construction.
    pub construction: Option<Construction>,
    /// Hazard.
    pub hazard: Hazard,
    /// Where vehicles are parked.
    pub parked: Sides,
    /// What goes on at the right edge.
    pub kerb: Kerb,
    /// Which vehicle stands there, if one does.
    pub kerb_vehicle: Option<Vehicle>,
    /// Vehicle ahead.
    pub lead: Option<Lead>,
    /// Vehicles that come the other way, nearest first.
    pub oncoming: Vec<Vehicle>,
    /// How many others there are.
    pub density: Density,
    /// A vehicle in the next lane, a little ahead.
    pub neighbour: Option<(Side, Vehicle)>,
    /// A vehicle that crosses.
    pub crosser: Option<Crosser>,
    /// People on foot.
    pub people: Option<People>,
    /// Cyclist.
    pub cyclist: Cyclist,
    /// Ego vehicle.
    pub ego: Ego,
}
