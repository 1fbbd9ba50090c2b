//! Boxes around objects, in pixels of the source frame that the human labels refer to.

use records::annotation::BoxXyxy;

use crate::canvas::Eye;
use crate::figures;
use crate::motion::{self, Layout, Profile, Role};
use crate::scene::Scene;

/// Width and height of the source frame in pixels.
const SOURCE: (u32, u32) = (3840, 2304);

/// Around the lead vehicle at second `t`; none if it is not in the picture.
pub(crate) fn lead(scene: &Scene, t: f32) -> Option<BoxXyxy> {
    let profile = Profile::of(scene);
    let layout = Layout::of(scene, &profile);
    let actor = motion::vehicles(scene, &profile, &layout, t).into_iter().find(|actor| actor.role == Role::Lead)?;
    let (length, width, height) = motion::size(actor.vehicle.kind);
    let (sin, cos) = actor.pose.yaw.sin_cos();
    let corners = [(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0f32)].map(|(w, l): (f32, f32)| {
        let (right, ahead) = (0.5 * w * width, 0.5 * l * length);
        (actor.pose.x + right * cos + ahead * sin, actor.pose.z - right * sin + ahead * cos)
    });
    around(scene, &profile, t, &corners, height)
}

/// Around the people on foot at second `t`; none if they are not in the picture.
pub(crate) fn people(scene: &Scene, t: f32) -> Option<BoxXyxy> {
    let profile = Profile::of(scene);
    let layout = Layout::of(scene, &profile);
    let (x, z) = figures::party_at(scene, scene.people.as_ref()?, &profile, &layout, t);
    let half = scene.people?.group.size() as f32 * 0.45;
    around(scene, &profile, t, &[(x - half, z), (x + half, z)], 1.95)
}

/// Around feet on the map, `tall` metres high.
fn around(scene: &Scene, profile: &Profile, t: f32, feet: &[(f32, f32)], tall: f32) -> Option<BoxXyxy> {
    let eye = Eye::of(scene, motion::camera(scene, profile, t), SOURCE.0, SOURCE.1);
    let (mut low, mut high) = ((f32::MAX, f32::MAX), (f32::MIN, f32::MIN));
    for (x, z) in feet {
        let (right, ahead) = eye.to_camera(*x, *z);
        if ahead < 1.0 {
            return None;
        }
        for up in [0.0, tall] {
            let (column, row) = eye.pixel(right, up, ahead);
            low = (low.0.min(column), low.1.min(row));
            high = (high.0.max(column), high.1.max(row));
        }
    }
    let inside = |value: f32, end: u32| {
        let value = value.clamp(0.0, end as f32);
        (f64::from(value) * 100.0).round() / 100.0
    };
    let bounds = BoxXyxy {
        x1: inside(low.0, SOURCE.0),
        y1: inside(low.1, SOURCE.1),
        x2: inside(high.0, SOURCE.0),
        y2: inside(high.1, SOURCE.1),
    };
    (bounds.x2 - bounds.x1 > 8.0 && bounds.y2 - bounds.y1 > 8.0).then_some(bounds)
}
