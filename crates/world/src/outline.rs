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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::What;
    use crate::furniture::{self, Thing};
    use crate::motion::camera;
    use crate::scene::Domain;
    use std::collections::BTreeMap;

    /// Frames of eight in which a thing is in the picture, and at least `low` pixels high in a frame 160 wide.
    fn frames(scene: &Scene, low: f64, of: impl Fn(&Profile, &Layout, f32) -> Vec<(f32, f32, f32, f32)>) -> usize {
        let profile = Profile::of(scene);
        let layout = Layout::of(scene, &profile);
        let shows = |t: f32| {
            of(&profile, &layout, t).into_iter().any(|(x, z, foot, tall)| {
                let eye = Eye::of(scene, camera(scene, &profile, t), 160, 96);
                let (right, ahead) = eye.to_camera(x, z);
                let (column, top) = eye.pixel(right, foot + tall, ahead);
                let inside = ahead > 1.0 && column > 3.0 && column < 157.0 && top > -4.0;
                inside && f64::from(tall * eye.scale(ahead)) >= low
            })
        };
        (0..8).filter(|n| shows(0.6 + 1.25 * *n as f32)).count()
    }

    #[test]
    fn what_is_true_can_be_seen() {
        let mut seen: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for seed in 0..400 {
            let scene = Scene::draw(seed, Domain::Fleet);
            let mut note = |name, count: usize| {
                let entry = seen.entry(name).or_default();
                *entry = (entry.0 + usize::from(count >= 2), entry.1 + 1);
            };
            let figure = |want: fn(&What) -> bool| {
                let scene = &scene;
                move |p: &Profile, l: &Layout, t: f32| {
                    let all = figures::all(scene, p, l, t).into_iter();
                    all.filter(|f| want(&f.what)).map(|f| (f.x, f.z, 0.0, 1.9)).collect::<Vec<_>>()
                }
            };
            let thing = |want: fn(&Thing) -> bool, foot: f32, tall: f32| {
                let scene = &scene;
                move |p: &Profile, l: &Layout, t: f32| {
                    let at = camera(scene, p, t).z;
                    let all = furniture::all(scene, l, at - 4.0, at + 60.0).into_iter();
                    all.filter(|f| want(&f.thing)).map(|f| (f.x, f.z, foot, tall)).collect::<Vec<_>>()
                }
            };
            let role = |want: Role| {
                let scene = &scene;
                move |p: &Profile, l: &Layout, t: f32| {
                    let all = motion::vehicles(scene, p, l, t).into_iter();
                    all.filter(|a| a.role == want).map(|a| (a.pose.x, a.pose.z, 0.0, 1.5)).collect::<Vec<_>>()
                }
            };
            if scene.people.is_some() {
                note("people", frames(&scene, 6.0, figure(|what| matches!(what, What::Walker { .. }))));
            }
            if scene.construction.is_some_and(|c| c.workers.is_some()) {
                note("workers", frames(&scene, 6.0, figure(|what| matches!(what, What::Worker(_)))));
            }
            if scene.cyclist != crate::Cyclist::None {
                note("cyclist", frames(&scene, 6.0, figure(|what| matches!(what, What::Cyclist { .. }))));
            }
            if scene.sign.is_some() {
                note("sign", frames(&scene, 7.0, thing(|thing| matches!(thing, Thing::Sign(_)), 1.7, 2.0)));
            }
            if scene.light.is_some() {
                note("light", frames(&scene, 8.0, thing(|thing| matches!(thing, Thing::Light { .. }), 1.4, 2.4)));
            }
            if scene.kerb_vehicle.is_some() {
                note("kerb", frames(&scene, 5.0, role(Role::Kerb)));
            }
            if scene.crosser.is_some() {
                note("crosser", frames(&scene, 5.0, role(Role::Crosser)));
            }
            if !scene.oncoming.is_empty() {
                note("oncoming", frames(&scene, 5.0, role(Role::Oncoming)));
            }
            if scene.parked != crate::Sides::None {
                note("parked", frames(&scene, 5.0, role(Role::Parked)));
            }
        }
        let rare: Vec<_> = seen.iter().filter(|(_, (shown, all))| 100 * shown < 95 * all).collect();
        assert!(rare.is_empty(), "{seen:?}");
    }
}
