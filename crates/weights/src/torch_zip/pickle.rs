//! A pickle machine that can build dictionaries of tensors and nothing else.
//!
//! Opcodes as in Python's `pickletools`, those of protocols 2 to 4 that `torch.save` uses. No code is run: `GLOBAL`
//! yields one of a few known names or an error, `REDUCE` rebuilds a tensor, a parameter or a dictionary.

use std::collections::{BTreeMap, HashMap};

use crate::StoredDType;

/// Where the values of a tensor are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TensorPlan {
    pub(super) dtype: StoredDType,
    pub(super) shape: Vec<usize>,
    /// Elements between neighbours, for each dimension.
    stride: Vec<usize>,
    /// First element.
    offset: usize,
    /// Name of the storage's entry.
    pub(super) storage: String,
    /// Elements of the storage.
    pub(super) storage_elements: u64,
}

impl TensorPlan {
    /// The values in row-major order; none if any lies outside the storage.
    pub(super) fn gather(&self, storage: Vec<f32>) -> Option<Vec<f32>> {
        let len = self.shape.iter().try_fold(1usize, |len, extent| len.checked_mul(*extent))?;
        // A view that repeats elements could be larger than memory; weights are none.
        if len > storage.len() {
            return None;
        }
        if self.offset == 0 && len == storage.len() && self.is_contiguous() {
            return Some(storage);
        }
        let mut values = Vec::with_capacity(len);
        let mut index = vec![0usize; self.shape.len()];
        for _ in 0..len {
            let mut place = self.offset;
            for (i, stride) in index.iter().zip(&self.stride) {
                place = place.checked_add(i.checked_mul(*stride)?)?;
            }
            values.push(*storage.get(place)?);
            for (i, extent) in index.iter_mut().zip(&self.shape).rev() {
                *i += 1;
                if *i < *extent {
                    break;
                }
                *i = 0;
            }
        }
        Some(values)
    }

    fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        self.shape.iter().zip(&self.stride).rev().all(|(extent, stride)| {
            let fits = *extent == 1 || *stride == expected;
            expected *= *extent;
            fits
        })
    }
}

/// What may be on the stack. Containers are places in the arena, because a pickle fills them after naming them.
#[derive(Clone, Debug)]
enum Value {
    None,
    Bool,
    Int(i64),
    Float,
    Text(String),
    Tuple(Vec<usize>),
    List(Vec<usize>),
    Dict(Vec<(usize, usize)>),
    Global(Global),
    Storage { dtype: StoredDType, key: String, elements: u64 },
    Tensor(TensorPlan),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(StoredDType),
}

/// Everything that may be called or named.
const GLOBALS: [(&str, Global); 12] = [
    ("collections.OrderedDict", Global::OrderedDict),
    ("torch._utils._rebuild_tensor_v2", Global::RebuildTensor),
    ("torch._utils._rebuild_parameter", Global::RebuildParameter),
    ("torch.FloatStorage", Global::Storage(StoredDType::F32)),
    ("torch.HalfStorage", Global::Storage(StoredDType::F16)),
    ("torch.BFloat16Storage", Global::Storage(StoredDType::Bf16)),
    ("torch.DoubleStorage", Global::Storage(StoredDType::F64)),
    ("torch.LongStorage", Global::Storage(StoredDType::I64)),
    ("torch.IntStorage", Global::Storage(StoredDType::I32)),
    ("torch.ShortStorage", Global::Storage(StoredDType::I16)),
    ("torch.ByteStorage", Global::Storage(StoredDType::U8)),
    ("torch.BoolStorage", Global::Storage(StoredDType::Bool)),
];

/// Most dimensions of a tensor.
const DIMENSIONS_MAX: usize = 16;

type Outcome<T> = Result<T, String>;

/// The tensors of a pickled `state_dict`, by name.
pub(super) fn state_dict(bytes: &[u8]) -> Outcome<BTreeMap<String, TensorPlan>> {
    let mut machine =
        Machine { bytes, at: 0, arena: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
    let result = machine.run()?;
    let Value::Dict(entries) = machine.value(result)?.clone() else {
        return Err("the file is not a dictionary of tensors".into());
    };
    let mut tensors = BTreeMap::new();
    for (key, value) in entries {
        let name = machine.text(key)?;
        let plan = match machine.value(value)? {
            Value::Tensor(plan) => plan.clone(),
            other => return Err(format!("{name:?} is {}, not a tensor; save model.state_dict() alone", kind(other))),
        };
        if tensors.insert(name.clone(), plan).is_some() {
            return Err(format!("{name:?} is there twice"));
        }
    }
    Ok(tensors)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::None => "None",
        Value::Bool => "a bool",
        Value::Int(_) => "a number",
        Value::Float => "a float",
        Value::Text(_) => "a text",
        Value::Tuple(_) => "a tuple",
        Value::List(_) => "a list",
        Value::Dict(_) => "a dictionary",
        Value::Global(_) => "a name",
        Value::Storage { .. } => "a storage",
        Value::Tensor(_) => "a tensor",
    }
}

struct Machine<'b> {
    bytes: &'b [u8],
    at: usize,
    arena: Vec<Value>,
    /// Places in the arena.
    stack: Vec<usize>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u64, usize>,
}

impl Machine<'_> {
    /// Runs to STOP; returns the place of the result.
    fn run(&mut self) -> Outcome<usize> {
        loop {
            let at = self.at;
            let opcode = self.take::<1>()?[0];
            if opcode == b'.' {
                return self.pop();
            }
            if !self.literal(opcode)? && !self.container(opcode)? && !self.memory(opcode)? && !self.call(opcode)? {
                return Err(format!("opcode {opcode:#04x} at byte {at} is none that a dictionary of tensors needs"));
            }
        }
    }

    fn literal(&mut self, opcode: u8) -> Outcome<bool> {
        let value = match opcode {
            b'N' => Value::None,
            0x88 | 0x89 => Value::Bool,
            b'J' => Value::Int(i64::from(i32::from_le_bytes(self.take()?))),
            b'K' => Value::Int(i64::from(self.take::<1>()?[0])),
            b'M' => Value::Int(i64::from(u16::from_le_bytes(self.take()?))),
            0x8a => self.long()?,
            b'G' => {
                self.take::<8>()?;
                Value::Float
            }
            b'X' => {
                let len = u32::from_le_bytes(self.take()?);
                self.text_of(u64::from(len))?
            }
            0x8c => {
                let len = self.take::<1>()?[0];
                self.text_of(u64::from(len))?
            }
            _ => return Ok(false),
        };
        self.push(value);
        Ok(true)
    }

    fn container(&mut self, opcode: u8) -> Outcome<bool> {
        match opcode {
            b'(' => self.marks.push(self.stack.len()),
            b'}' => self.push(Value::Dict(Vec::new())),
            b']' => self.push(Value::List(Vec::new())),
            b')' => self.push(Value::Tuple(Vec::new())),
            b't' => {
                let items = self.pop_mark()?;
                self.push(Value::Tuple(items));
            }
            0x85..=0x87 => {
                let count = usize::from(opcode - 0x84);
                let from = self.stack.len().checked_sub(count).ok_or("the stack is too short")?;
                let items = self.stack.split_off(from);
                self.push(Value::Tuple(items));
            }
            b'u' | b's' => {
                let items = if opcode == b'u' { self.pop_mark()? } else { self.pop_two()?.to_vec() };
                let pairs = items.as_chunks::<2>().0.iter().map(|[key, value]| (*key, *value)).collect::<Vec<_>>();
                match self.top()? {
                    Value::Dict(entries) if items.len() % 2 == 0 => entries.extend(pairs),
                    other => return Err(format!("items for {}, which is no dictionary", kind(other))),
                }
            }
            b'e' | b'a' => {
                let items = if opcode == b'e' { self.pop_mark()? } else { vec![self.pop()?] };
                match self.top()? {
                    Value::List(list) => list.extend(items),
                    other => return Err(format!("items for {}, which is no list", kind(other))),
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn memory(&mut self, opcode: u8) -> Outcome<bool> {
        match opcode {
            0x80 => {
                let protocol = self.take::<1>()?[0];
                if !(2..=5).contains(&protocol) {
                    return Err(format!("pickle protocol {protocol} is not read"));
                }
            }
            0x95 => {
                self.take::<8>()?;
            }
            b'q' | b'r' | 0x94 => {
                let key = match opcode {
                    b'q' => u64::from(self.take::<1>()?[0]),
                    b'r' => u64::from(u32::from_le_bytes(self.take()?)),
                    _ => self.memo.len() as u64,
                };
                let top = *self.stack.last().ok_or("the stack is empty")?;
                self.memo.insert(key, top);
            }
            b'h' | b'j' => {
                let key = match opcode {
                    b'h' => u64::from(self.take::<1>()?[0]),
                    _ => u64::from(u32::from_le_bytes(self.take()?)),
                };
                let place = *self.memo.get(&key).ok_or_else(|| format!("memo {key} was never set"))?;
                self.stack.push(place);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn call(&mut self, opcode: u8) -> Outcome<bool> {
        match opcode {
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push_global(&module, &name)?;
            }
            0x93 => {
                let [module, name] = self.pop_two()?;
                let (module, name) = (self.text(module)?, self.text(name)?);
                self.push_global(&module, &name)?;
            }
            b'Q' => {
                let id = self.pop()?;
                let storage = self.storage(id)?;
                self.push(storage);
            }
            b'R' => {
                let [function, arguments] = self.pop_two()?;
                let made = self.reduce(function, arguments)?;
                self.push(made);
            }
            b'b' => {
                // The attributes of a state dict (its `_metadata`): nothing of them is needed.
                self.pop()?;
                if !matches!(self.top()?, Value::Dict(_)) {
                    return Err("attributes for something that is no dictionary".into());
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn push_global(&mut self, module: &str, name: &str) -> Outcome<()> {
        let full = format!("{module}.{name}");
        let found = GLOBALS.iter().find(|(known, _)| *known == full);
        let (_, global) =
            found.ok_or_else(|| format!("it asks for {full:?}, which is not needed for tensors: refused"))?;
        self.push(Value::Global(*global));
        Ok(())
    }

    /// `('storage', type, key, location, elements)`.
    fn storage(&self, id: usize) -> Outcome<Value> {
        let Value::Tuple(parts) = self.value(id)? else { return Err("a persistent id that is no tuple".into()) };
        let &[tag, dtype, key, _location, elements] = parts.as_slice() else {
            return Err(format!("a persistent id of {} parts, 5 are expected", parts.len()));
        };
        match (self.text(tag)?.as_str(), self.value(dtype)?, self.value(elements)?) {
            ("storage", Value::Global(Global::Storage(dtype)), Value::Int(elements)) => {
                let elements = u64::try_from(*elements).map_err(|_| "a storage of negative size")?;
                let key = self.text(key)?;
                if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                    return Err(format!("a storage named {key:?}"));
                }
                Ok(Value::Storage { dtype: *dtype, key, elements })
            }
            _ => Err("a persistent id that is no storage".into()),
        }
    }

    fn reduce(&self, function: usize, arguments: usize) -> Outcome<Value> {
        let Value::Tuple(arguments) = self.value(arguments)? else { return Err("a call without a tuple".into()) };
        match (self.value(function)?, arguments.as_slice()) {
            (Value::Global(Global::OrderedDict), []) => Ok(Value::Dict(Vec::new())),
            (Value::Global(Global::RebuildParameter), &[tensor, ..]) => match self.value(tensor)? {
                Value::Tensor(plan) => Ok(Value::Tensor(plan.clone())),
                other => Err(format!("a parameter made of {}", kind(other))),
            },
            (Value::Global(Global::RebuildTensor), &[storage, offset, shape, stride, ..]) => {
                let Value::Storage { dtype, key, elements } = self.value(storage)? else {
                    return Err("a tensor without a storage".into());
                };
                let (shape, stride) = (self.sizes(shape)?, self.sizes(stride)?);
                if shape.len() != stride.len() {
                    return Err(format!("a tensor of {} dimensions with {} strides", shape.len(), stride.len()));
                }
                let offset = self.size(offset)?;
                let (storage, storage_elements) = (key.clone(), *elements);
                Ok(Value::Tensor(TensorPlan { dtype: *dtype, shape, stride, offset, storage, storage_elements }))
            }
            (other, arguments) => Err(format!("a call of {} with {} arguments", kind(other), arguments.len())),
        }
    }

    fn sizes(&self, place: usize) -> Outcome<Vec<usize>> {
        match self.value(place)? {
            Value::Tuple(items) | Value::List(items) if items.len() > DIMENSIONS_MAX => {
                Err(format!("a tensor of {} dimensions", items.len()))
            }
            Value::Tuple(items) | Value::List(items) => items.iter().map(|item| self.size(*item)).collect(),
            other => Err(format!("sizes given as {}", kind(other))),
        }
    }

    fn size(&self, place: usize) -> Outcome<usize> {
        match self.value(place)? {
            Value::Int(size) => usize::try_from(*size).map_err(|_| format!("a size of {size}")),
            other => Err(format!("a size given as {}", kind(other))),
        }
    }

    fn push(&mut self, value: Value) {
        self.arena.push(value);
        self.stack.push(self.arena.len() - 1);
    }

    /// The place on top; below a mark there is none.
    fn pop(&mut self) -> Outcome<usize> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            Err("the stack is empty".into())
        } else {
            self.stack.pop().ok_or_else(String::new)
        }
    }

    /// The two places on top, the upper one last.
    fn pop_two(&mut self) -> Outcome<[usize; 2]> {
        let second = self.pop()?;
        Ok([self.pop()?, second])
    }

    fn pop_mark(&mut self) -> Outcome<Vec<usize>> {
        let mark = self.marks.pop().ok_or("no mark")?;
        Ok(if mark <= self.stack.len() { self.stack.split_off(mark) } else { Vec::new() })
    }

    fn top(&mut self) -> Outcome<&mut Value> {
        let place = *self.stack.last().ok_or("the stack is empty")?;
        self.arena.get_mut(place).ok_or_else(|| "no such value".into())
    }

    fn value(&self, place: usize) -> Outcome<&Value> {
        self.arena.get(place).ok_or_else(|| "no such value".into())
    }

    fn text(&self, place: usize) -> Outcome<String> {
        match self.value(place)? {
            Value::Text(text) => Ok(text.clone()),
            other => Err(format!("{} where a text is expected", kind(other))),
        }
    }

    fn take<const N: usize>(&mut self) -> Outcome<[u8; N]> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let (taken, _) = rest.split_first_chunk::<N>().ok_or("it ends too early")?;
        self.at += N;
        Ok(*taken)
    }

    fn slice(&mut self, len: u64) -> Outcome<&[u8]> {
        let end = usize::try_from(len).ok().and_then(|len| self.at.checked_add(len)).ok_or("it ends too early")?;
        let taken = self.bytes.get(self.at..end).ok_or("it ends too early")?;
        self.at = end;
        Ok(taken)
    }

    fn text_of(&mut self, len: u64) -> Outcome<Value> {
        let text = std::str::from_utf8(self.slice(len)?).map_err(|_| "a text that is not UTF-8")?;
        Ok(Value::Text(text.to_owned()))
    }

    /// LONG1: a little-endian number of up to 8 bytes.
    fn long(&mut self) -> Outcome<Value> {
        let len = self.take::<1>()?[0];
        let bytes = self.slice(u64::from(len))?;
        if bytes.len() > 8 {
            return Err(format!("a number of {len} bytes"));
        }
        let fill = if bytes.last().is_some_and(|byte| *byte >= 0x80) { 0xff } else { 0 };
        let mut whole = [fill; 8];
        whole[..bytes.len()].copy_from_slice(bytes);
        Ok(Value::Int(i64::from_le_bytes(whole)))
    }

    fn line(&mut self) -> Outcome<String> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let len = rest.iter().position(|byte| *byte == b'\n').ok_or("it ends too early")?;
        let text = String::from_utf8_lossy(rest.get(..len).unwrap_or_default()).into_owned();
        self.at += len + 1;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `OrderedDict` with one tensor of 2x3 F32.
    fn small() -> Vec<u8> {
        let mut bytes = b"\x80\x02ccollections\nOrderedDict\n)Rq\x00X\x01\x00\x00\x00w".to_vec();
        bytes.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\n");
        bytes.extend(b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x06tQK\x00K\x02K\x03\x86K\x03K\x01\x86\x89");
        bytes.extend(b"ccollections\nOrderedDict\n)RtRs.");
        bytes
    }

    #[test]
    fn builds_a_tensor_and_refuses_the_rest() {
        let tensors = state_dict(&small()).unwrap();
        let plan = &tensors["w"];
        assert_eq!((plan.shape.as_slice(), plan.storage.as_str(), plan.dtype), (&[2, 3][..], "0", StoredDType::F32));
        let values: Vec<f32> = (0..6).map(|i| i as f32).collect();
        assert_eq!(plan.gather(values.clone()), Some(values.clone()));
        let transposed = TensorPlan { shape: vec![3, 2], stride: vec![1, 3], ..plan.clone() };
        assert_eq!(transposed.gather(values.clone()), Some(vec![0.0, 3.0, 1.0, 4.0, 2.0, 5.0]));
        assert_eq!(TensorPlan { offset: 1, ..plan.clone() }.gather(values), None);
        let check = |bytes: &[u8], expect: &str| {
            let error = state_dict(bytes).unwrap_err();
            assert!(error.contains(expect), "{error}");
        };
        check(b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R.", "\"os.system\"");
        check(b"\x80\x02cbuiltins\neval\n.", "refused");
        check(b"\x80\x02]q\x00.", "not a dictionary");
        check(b"\x80\x02}X\x01\x00\x00\x00aK\x01s.", "\"a\" is a number");
        check(b"\x80\x02i", "opcode 0x69");
        check(b"", "ends too early");
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = state_dict(&bytes);
        }

        #[test]
        fn any_damage_is_an_answer(at in 0usize..260, byte: u8, cut in 0usize..260) {
            let mut bytes = small();
            let len = bytes.len();
            bytes[at % len] = byte;
            bytes.truncate(cut.max(1));
            if let Ok(tensors) = state_dict(&bytes) {
                for plan in tensors.values() {
                    let _ = plan.gather(vec![0.0; 6]);
                }
            }
        }
    }
}
