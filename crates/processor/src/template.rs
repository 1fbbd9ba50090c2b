//! Chat templates of model folders: the ones we write, and a check of the ones we find.
//!
//! The layout itself is code (`chat`). A folder's own Jinja text is rendered on a few conversations and compared with that
//! code, so that a model with another layout is noticed.

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Value, context};

use crate::chat::{Segment, Special, render};
use crate::{Family, Part, Role, Turn, VideoInput, VisionConfig};

/// How a folder's chat template compares with the layout built in here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateCheck {
    /// The folder ships none.
    Absent,
    /// It renders the same on every probe.
    Same,
    /// It renders something else, or does not render: the model may have been trained on another layout. Worth a warning.
    Different {
        /// The file it was found in.
        file: String,
        /// The first difference, or why it does not render.
        what: String,
    },
}

/// chat_template.jinja of a family: our own text, which renders as the published one does for text, images and videos (no tools).
pub(crate) fn template_text(family: Family) -> &'static str {
    match family {
        Family::Qwen3Vl => include_str!("../data/qwen3_vl.jinja"),
        Family::Qwen2_5Vl => include_str!("../data/qwen2_5_vl.jinja"),
    }
}

/// Renders `text` on a few conversations and compares.
pub(crate) fn check_template(family: Family, file: &str, text: &str) -> TemplateCheck {
    let different = |what: String| TemplateCheck::Different { file: file.to_owned(), what };
    for (turns, generate) in probes() {
        let expect = unexpanded(family, &turns, generate);
        match render_jinja(text, &turns, generate) {
            Ok(got) if got == expect => {}
            Ok(got) => return different(format!("renders {got:?}, expected {expect:?}")),
            Err(error) => return different(format!("does not render: {error}")),
        }
    }
    TemplateCheck::Same
}

/// Conversations that show every rule of the supported subset.
fn probes() -> Vec<(Vec<Turn>, bool)> {
    let clip = |text: &str| Turn { role: Role::User, content: vec![Part::Video(0), Part::Text(text.into())] };
    let system = Turn::text(Role::System, "Be brief.");
    let answer = Turn::text(Role::Assistant, "A car stops.");
    let mixed = Turn { role: Role::User, content: vec![Part::Image(0), Part::Text(" and ".into()), Part::Video(0)] };
    vec![
        (vec![Turn::text(Role::User, "Hi")], true),
        (vec![clip("What happens?")], true),
        (vec![system.clone(), clip("What happens?"), answer.clone()], false),
        (vec![system, mixed, answer, Turn::text(Role::User, "Why?")], true),
    ]
}

/// The text that a template gives: one placeholder a picture, to be expanded by the processor.
pub(crate) fn unexpanded(family: Family, turns: &[Turn], generate: bool) -> String {
    // Qwen2.5-VL's layout with one token a picture is what both templates print, apart from the default system turn.
    let one_token = VideoInput { grid_thw: crate::GridThw { t: 1, h: 2, w: 2 }, ..VideoInput::default() };
    let system_first = turns.first().is_some_and(|turn| turn.role == Role::System);
    let vision = VisionConfig::of_family(Family::Qwen2_5Vl);
    let Ok(rendered) = render(Family::Qwen2_5Vl, turns, &[one_token], &vision, generate) else { return String::new() };
    // The default system turn is three segments and a line break.
    let default_system = if family == Family::Qwen3Vl && !system_first { 4 } else { 0 };
    let mut text = String::new();
    for segment in &rendered.segments[default_system.min(rendered.segments.len())..] {
        text.push_str(match segment {
            Segment::Text(part) | Segment::Answer(part) => part,
            Segment::Special { token: Special::ImStart, .. } => "<|im_start|>",
            Segment::Special { token: Special::ImEnd, .. } => "<|im_end|>",
            Segment::Special { token: Special::VisionStart, .. } => "<|vision_start|>",
            Segment::Special { token: Special::VisionEnd, .. } => "<|vision_end|>",
            Segment::Pads { video: true, .. } => "<|video_pad|>",
            Segment::Pads { video: false, .. } => "<|image_pad|>",
        });
    }
    text
}

fn render_jinja(text: &str, turns: &[Turn], generate: bool) -> Result<String, minijinja::Error> {
    let mut environment = Environment::new();
    // transformers sets these two, and Python's string methods are part of the language there.
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.set_fuel(Some(1_000_000));
    environment.add_template("chat", text)?;
    let part = |part: &Part| match part {
        Part::Text(text) => context! { type => "text", text => text.as_str() },
        Part::Video(_) => context! { type => "video", video => "clip.mp4" },
        Part::Image(_) => context! { type => "image", image => "picture.png" },
    };
    let message = |turn: &Turn| context! { role => turn.role.name(), content => turn.content.iter().map(part).collect::<Vec<Value>>() };
    let messages: Vec<Value> = turns.iter().map(message).collect();
    environment.get_template("chat")?.render(context! { messages, add_generation_prompt => generate })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_templates_render_our_layout() {
        for family in [Family::Qwen3Vl, Family::Qwen2_5Vl] {
            assert_eq!(check_template(family, "own", template_text(family)), TemplateCheck::Same);
        }
    }

    #[test]
    fn another_template_is_noticed() {
        let other = template_text(Family::Qwen3Vl);
        for text in
            [other, "{{ messages[0].nothing.at.all }}", "{% for %}", "", "{% for i in range(10000000) %}x{% endfor %}"]
        {
            assert!(matches!(check_template(Family::Qwen2_5Vl, "f", text), TemplateCheck::Different { .. }), "{text}");
        }
    }
}
