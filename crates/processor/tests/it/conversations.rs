//! Conversations to ids, labels and positions.

use processor::{
    Encoded, Error, Family, FrameSize, Overlength, Part, PixelBudget, Processor, Purpose, Role, Turn, VideoInput,
    VlmInput, pack,
};
use proptest::prelude::*;

use crate::builtin;
use crate::tokenizers::user_text;

fn clip(processor: &Processor, nframes: u64) -> VideoInput {
    let indices: Vec<u64> = (0..nframes).map(|i| i * 12).collect();
    let budget = PixelBudget::Fixed { height: 64, width: 96 };
    processor.planned(FrameSize { height: 720, width: 1280 }, &indices, Some(25.0), &budget).unwrap()
}

fn user(parts: Vec<Part>) -> Turn {
    Turn { role: Role::User, content: parts }
}

fn sample(processor: &Processor, turns: &[Turn], media: &[VideoInput], purpose: Purpose) -> Encoded {
    processor.sample(turns, media, purpose, Overlength::Refuse, usize::MAX).unwrap()
}

/// Ids as text, runs of placeholders shortened to their number.
fn show(processor: &Processor, ids: &[u32]) -> String {
    let pads = [processor.vision_token_ids().video, processor.vision_token_ids().image];
    let mut text = String::new();
    for run in ids.chunk_by(|a, b| a == b && pads.contains(a)) {
        text.push_str(&processor.tokenizer().decode(&run[..1], false).unwrap());
        if pads.contains(&run[0]) {
            text.push_str(&format!("*{}", run.len()));
        }
    }
    text
}

#[test]
fn layout_of_both_families() {
    let turns = |video: Vec<Part>| [user(video)];
    for (family, parts, expect) in [
        (
            Family::Qwen3Vl,
            vec![Part::Video(0), Part::Text("What?".into())],
            "<|im_start|>user\n<0.2 seconds><|vision_start|><|video_pad|>*6<|vision_end|><1.2 seconds><|vision_start|><|video_pad|>*6<|vision_end|>What?<|im_end|>\n<|im_start|>assistant\n",
        ),
        (
            Family::Qwen2_5Vl,
            vec![Part::Video(0), Part::Text("What?".into())],
            "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n<|vision_start|><|video_pad|>*12<|vision_end|>What?<|im_end|>\n<|im_start|>assistant\n",
        ),
        (
            Family::Qwen3Vl,
            vec![Part::Text("A ".into()), Part::Image(1), Part::Text(" b".into())],
            "<|im_start|>user\nA <|vision_start|><|image_pad|>*6<|vision_end|> b<|im_end|>\n<|im_start|>assistant\n",
        ),
    ] {
        let processor = builtin(family);
        // 28 is the factor of Qwen2.5-VL; both grids have 2 x 3 tokens a temporal patch.
        let (height, width) = (processor.vision().factor() * 2, processor.vision().factor() * 3);
        let fixed = PixelBudget::Fixed { height, width };
        let plan = |indices: &[u64]| {
            processor.planned(FrameSize { height: 720, width: 1280 }, indices, Some(25.0), &fixed).unwrap()
        };
        let media = [plan(&[0, 12, 25, 37]), plan(&[0])];
        let encoded = sample(processor, &turns(parts), &media, Purpose::Generate);
        assert_eq!(show(processor, &encoded.input.input_ids), expect);
        assert_eq!(encoded.labelled, 0);
    }
}

#[test]
fn labels_are_answers_and_their_end() {
    let processor = builtin(Family::Qwen3Vl);
    let turns = [
        Turn::text(Role::System, "Be brief."),
        user(vec![Part::Video(0), Part::Text("One?".into())]),
        Turn::text(Role::Assistant, "First answer."),
        user(vec![Part::Text("First answer. Two?".into())]),
        Turn::text(Role::Assistant, "Second <|im_end|> answer."),
    ];
    let encoded = sample(processor, &turns, &[clip(processor, 4)], Purpose::Train);
    let VlmInput { input_ids, labels, .. } = &encoded.input;
    let trained: Vec<u32> = labels.iter().filter(|&&label| label >= 0).map(|&label| label as u32).collect();
    assert_eq!(show(processor, &trained), "First answer.<|im_end|>Second <|im_end|> answer.<|im_end|>");
    // The `<|im_end|>` that the answer spells out is text; only two tokens are the real one.
    assert_eq!(trained.iter().filter(|&&id| id == processor.eos_id()).count(), 2);
    assert_eq!(encoded.labelled, trained.len());
    assert!(labels.iter().zip(input_ids).all(|(&label, &id)| label == -100 || label == id as i32));
    let generate = sample(processor, &turns[..2], &[clip(processor, 4)], Purpose::Generate);
    assert!(generate.input.labels.iter().all(|&label| label == -100));
    assert_eq!(generate.input.input_ids, input_ids[..generate.input.input_ids.len()]);
}

#[test]
fn bad_conversations() {
    let processor = builtin(Family::Qwen3Vl);
    let media = [clip(processor, 4)];
    for (turns, expect) in [
        (vec![], "turn 0: the conversation is empty"),
        (vec![user(vec![]), Turn::text(Role::System, "late")], "turn 1: a system turn must be the first"),
        (vec![user(vec![Part::Video(1)])], "turn 0: vision input 1 of 1 does not exist"),
        (
            vec![Turn { role: Role::Assistant, content: vec![Part::Video(0)] }],
            "turn 0: a assistant turn cannot hold a video or an image",
        ),
    ] {
        let error = processor.sample(&turns, &media, Purpose::Train, Overlength::Refuse, 4096).unwrap_err();
        assert_eq!(error.to_string(), expect);
    }
}

#[test]
fn overlength() {
    let processor = builtin(Family::Qwen3Vl);
    let media = [clip(processor, 4)];
    let turns = [
        user(vec![Part::Video(0), Part::Text("Please describe it all.".into())]),
        Turn::text(Role::Assistant, "A long answer follows here."),
    ];
    let whole = sample(processor, &turns, &media, Purpose::Train);
    let length = whole.input.input_ids.len();
    let run = |turns: &[Turn], purpose, policy, max| processor.sample(turns, &media, purpose, policy, max);
    assert!(
        matches!(run(&turns, Purpose::Train, Overlength::Refuse, length - 1), Err(Error::Overlength { tokens, .. }) if tokens == length)
    );
    let cut = run(&turns, Purpose::Train, Overlength::CutText, length - 3).unwrap();
    assert_eq!((cut.cut_tokens, &cut.input.input_ids[..]), (3, &whole.input.input_ids[..length - 3]));
    assert_eq!(cut.input.labels.len(), length - 3);
    assert_eq!(cut.input.position_ids[0].len(), length - 3);
    let vision_end =
        whole.input.input_ids.iter().rposition(|&id| id == processor.vision_token_ids().vision_end).unwrap() + 1;
    assert_eq!(run(&turns, Purpose::Train, Overlength::CutText, vision_end).unwrap().input.input_ids.len(), vision_end);
    assert!(
        matches!(run(&turns, Purpose::Train, Overlength::CutText, vision_end - 1), Err(Error::Overlength { needed, .. }) if needed == vision_end)
    );
    // For generation the question loses its end, and the model is still asked to speak.
    let asked = sample(processor, &turns[..1], &media, Purpose::Generate).input.input_ids;
    let cut = run(&turns[..1], Purpose::Generate, Overlength::CutText, asked.len() - 4).unwrap();
    assert_eq!(cut.cut_tokens, 4);
    assert!(show(processor, &cut.input.input_ids).ends_with("<|im_end|>\n<|im_start|>assistant\n"));
}

#[test]
fn pixels_follow_the_order_of_appearance() {
    let processor = builtin(Family::Qwen3Vl);
    let with_pixels = |value: f32| VideoInput { pixel_values: vec![value; 3], ..clip(processor, 2) };
    let media = [with_pixels(1.0), with_pixels(2.0)];
    let turns = [user(vec![Part::Video(1), Part::Text("then".into()), Part::Video(0)])];
    let encoded = sample(processor, &turns, &media, Purpose::Train);
    assert_eq!(encoded.input.pixel_values, [2.0, 2.0, 2.0, 1.0, 1.0, 1.0]);
    let planned = processor.sample_tokens(&turns, &media, Purpose::Train, Overlength::Refuse, 4096).unwrap();
    assert_eq!(VlmInput { pixel_values: encoded.input.pixel_values.clone(), ..planned.input }, encoded.input);
}

#[test]
fn packing() {
    let processor = builtin(Family::Qwen3Vl);
    let media = [VideoInput { pixel_values: vec![0.5; 4], ..clip(processor, 2) }];
    let a =
        sample(processor, &[user(vec![Part::Video(0)]), Turn::text(Role::Assistant, "Yes.")], &media, Purpose::Train)
            .input;
    let b = sample(processor, &[user(vec![Part::Text("Hi".into())])], &media, Purpose::Generate).input;
    let packed = pack(&[&a, &b, &a]);
    let (la, lb) = (a.input_ids.len() as u32, b.input_ids.len() as u32);
    assert_eq!(packed.cu_seqlens, [0, la, la + lb, 2 * la + lb]);
    assert_eq!(packed.input_ids, [&a.input_ids[..], &b.input_ids, &a.input_ids].concat());
    assert_eq!(packed.labels, [&a.labels[..], &b.labels, &a.labels].concat());
    for axis in 0..3 {
        assert_eq!(
            packed.position_ids[axis],
            [&a.position_ids[axis][..], &b.position_ids[axis], &a.position_ids[axis]].concat()
        );
    }
    assert_eq!((packed.pixel_values.len(), packed.grid_thw.len()), (8, 2));
    assert_eq!(pack(&[]).cu_seqlens, [0]);
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let part = prop_oneof![user_text().prop_map(Part::Text), (0_usize..2).prop_map(Part::Video), Just(Part::Image(2))];
    let turn = prop_oneof![
        prop::collection::vec(part, 0..4).prop_map(user),
        user_text().prop_map(|text| Turn::text(Role::Assistant, text)),
    ];
    (prop::option::of(user_text()), prop::collection::vec(turn, 1..5)).prop_map(|(system, turns)| {
        let system = system.map(|text| Turn::text(Role::System, text));
        system.into_iter().chain(turns).collect()
    })
}

proptest! {
    #[test]
    fn placeholders_equal_the_grids(turns in turns(), qwen3: bool, generate: bool) {
        let processor = builtin(if qwen3 { Family::Qwen3Vl } else { Family::Qwen2_5Vl });
        let ids = processor.vision_token_ids();
        let media = [clip(processor, 4), clip(processor, 7), clip(processor, 1)];
        let purpose = if generate { Purpose::Generate } else { Purpose::Train };
        let encoded = sample(processor, &turns, &media, purpose);
        let input = &encoded.input;
        let pads = input.input_ids.iter().filter(|&&id| id == ids.video || id == ids.image).count();
        prop_assert_eq!(pads, input.grid_thw.iter().map(|&grid| processor.token_count(grid)).sum::<usize>());
        let count = |id| input.input_ids.iter().filter(|&&other| other == id).count();
        prop_assert_eq!(count(ids.vision_start), count(ids.vision_end));
        let turns_shown = turns.len() + usize::from(!qwen3 && turns[0].role != Role::System);
        prop_assert_eq!(count(processor.eos_id()), turns_shown);
        prop_assert_eq!(input.labels.len(), input.input_ids.len());
        prop_assert!(input.position_ids.iter().all(|axis| axis.len() == input.input_ids.len()));
        let next = input.position_ids.iter().flatten().max().unwrap() + 1;
        prop_assert_eq!(input.rope_delta, next - input.input_ids.len() as i32);
        // Wherever it is cut, it ends in text or is refused.
        let max_length = input.input_ids.len() / 2;
        if let Ok(cut) = processor.sample(&turns, &media, purpose, Overlength::CutText, max_length) {
            prop_assert_eq!(cut.input.input_ids.len() + cut.cut_tokens, input.input_ids.len());
            prop_assert_eq!(&cut.input.grid_thw, &input.grid_thw);
        }
    }
}
