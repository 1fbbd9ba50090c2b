//! Memory of the GPU and page-locked memory of the host.

use std::ffi::c_void;
use std::marker::PhantomData;
use std::sync::Arc;

use half::bf16;

use super::device::Context;
use super::driver::DevicePtr;
use super::{Error, Gpu, Result, Stream};

const OP: &str = "memory";

/// A plain value that may be copied to and from the GPU as bytes.
///
/// # Safety
/// Every bit pattern must be a value, and the type must have no padding.
pub unsafe trait Element: Copy + Send + Sync + 'static {}
// SAFETY: two bytes, any pattern.
unsafe impl Element for bf16 {}
// SAFETY: any pattern.
unsafe impl Element for f32 {}
// SAFETY: any pattern.
unsafe impl Element for f64 {}
// SAFETY: any pattern.
unsafe impl Element for i32 {}
// SAFETY: any pattern.
unsafe impl Element for u8 {}
// SAFETY: any pattern.
unsafe impl Element for u16 {}
// SAFETY: any pattern.
unsafe impl Element for u64 {}

/// Values on the GPU that this owns.
pub struct Buffer<T: Element> {
    context: Arc<Context>,
    ptr: DevicePtr,
    len: usize,
    element: PhantomData<T>,
}

/// Values on the GPU that an op reads.
#[derive(Debug)]
pub struct View<'a, T: Element> {
    pub(crate) ptr: DevicePtr,
    pub(crate) len: usize,
    owner: PhantomData<&'a T>,
}

/// Values on the GPU that an op writes.
#[derive(Debug)]
pub struct ViewMut<'a, T: Element> {
    pub(crate) ptr: DevicePtr,
    pub(crate) len: usize,
    owner: PhantomData<&'a mut T>,
}

/// Page-locked host memory: copies from and to it run beside kernels.
pub struct Pinned<T: Element> {
    context: Arc<Context>,
    ptr: *mut T,
    len: usize,
}

// SAFETY: plain memory with one owner.
unsafe impl<T: Element> Send for Pinned<T> {}

impl<T: Element> Clone for View<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Element> Copy for View<'_, T> {}

impl Gpu {
    /// Memory for `len` values, with whatever was in it; `what` names it in an error.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn unset<T: Element>(&self, len: usize, what: &str) -> Result<Buffer<T>> {
        let context = self.context.clone();
        context.bind()?;
        let bytes =
            len.checked_mul(size_of::<T>()).ok_or_else(|| Error::argument(OP, format!("{what} is too large")))?;
        let mut ptr = 0;
        // The driver refuses 0 bytes, and an empty operand is legal.
        // SAFETY: `ptr` outlives the call.
        let code = unsafe { (context.driver.cuMemAlloc_v2)(&mut ptr, bytes.max(16)) };
        context.check_allocation(code, what, bytes)?;
        Ok(Buffer { context, ptr, len, element: PhantomData })
    }

    /// Memory for `len` values, all bytes zero; `stream` does the clearing.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn zeros<T: Element>(&self, stream: &Stream, len: usize, what: &str) -> Result<Buffer<T>> {
        let mut buffer = self.unset(len, what)?;
        stream.clear(buffer.view_mut())?;
        Ok(buffer)
    }

    /// A copy of host values; waits until it is made.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn upload<T: Element>(&self, stream: &Stream, values: &[T], what: &str) -> Result<Buffer<T>> {
        let mut buffer = self.unset(values.len(), what)?;
        stream.write(buffer.view_mut(), values)?;
        Ok(buffer)
    }

    /// Page-locked host memory for `len` values, all bytes zero.
    ///
    /// # Errors
    /// [`Error::Driver`] if the host has no room.
    pub fn pinned<T: Element>(&self, len: usize) -> Result<Pinned<T>> {
        let context = self.context.clone();
        context.bind()?;
        let (bytes, mut ptr) = ((len * size_of::<T>()).max(16), std::ptr::null_mut::<c_void>());
        // SAFETY: `ptr` outlives the call; the memory is cleared before anybody sees it.
        unsafe {
            context.driver.check("cuMemHostAlloc", (context.driver.cuMemHostAlloc)(&mut ptr, bytes, 0))?;
            std::ptr::write_bytes(ptr.cast::<u8>(), 0, bytes);
        }
        Ok(Pinned { context, ptr: ptr.cast(), len })
    }
}

impl<T: Element> Buffer<T> {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All values, to read.
    pub fn view(&self) -> View<'_, T> {
        View { ptr: self.ptr, len: self.len, owner: PhantomData }
    }

    /// All values, to write.
    pub fn view_mut(&mut self) -> ViewMut<'_, T> {
        ViewMut { ptr: self.ptr, len: self.len, owner: PhantomData }
    }
}

impl<'a, T: Element> View<'a, T> {
    /// A view of raw memory that a plan has laid out.
    pub(crate) fn planned(ptr: DevicePtr, len: usize) -> Self {
        Self { ptr, len, owner: PhantomData }
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// `len` values from `start` on.
    ///
    /// # Errors
    /// [`Error::Argument`] if they reach past the end.
    pub fn part(self, start: usize, len: usize) -> Result<View<'a, T>> {
        let ptr = part::<T>(self.ptr, self.len, start, len)?;
        Ok(View { ptr, len, owner: PhantomData })
    }
}

impl<'a, T: Element> ViewMut<'a, T> {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The same values for a shorter time.
    pub fn reborrow(&mut self) -> ViewMut<'_, T> {
        ViewMut { ptr: self.ptr, len: self.len, owner: PhantomData }
    }

    /// The same values, to read.
    pub fn as_view(&self) -> View<'_, T> {
        View { ptr: self.ptr, len: self.len, owner: PhantomData }
    }

    /// `len` values from `start` on.
    ///
    /// # Errors
    /// [`Error::Argument`] if they reach past the end.
    pub fn part(self, start: usize, len: usize) -> Result<ViewMut<'a, T>> {
        let ptr = part::<T>(self.ptr, self.len, start, len)?;
        Ok(ViewMut { ptr, len, owner: PhantomData })
    }

    /// A view of raw memory that a plan has laid out.
    pub(crate) fn planned(ptr: DevicePtr, len: usize) -> Self {
        Self { ptr, len, owner: PhantomData }
    }
}

fn part<T>(ptr: DevicePtr, own: usize, start: usize, len: usize) -> Result<DevicePtr> {
    match start.checked_add(len) {
        Some(end) if end <= own => Ok(ptr + (start * size_of::<T>()) as u64),
        _ => Err(Error::argument(OP, format!("{len} values from {start} do not fit in {own}"))),
    }
}

impl<T: Element> Pinned<T> {
    /// The values.
    pub fn as_slice(&self) -> &[T] {
        // SAFETY: `len` values that were cleared on allocation; any pattern is a value.
        unsafe { std::slice::from_raw_parts(self.ptr, self.len) }
    }

    /// The values, to write.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        // SAFETY: as above, and `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.ptr, self.len) }
    }
}

impl<T: Element> Drop for Buffer<T> {
    fn drop(&mut self) {
        if self.context.bind().is_ok() {
            // SAFETY: allocated once in `unset`; the driver waits for work that uses it.
            unsafe { (self.context.driver.cuMemFree_v2)(self.ptr) };
        }
    }
}

impl<T: Element> Drop for Pinned<T> {
    fn drop(&mut self) {
        if self.context.bind().is_ok() {
            // SAFETY: allocated once in `pinned`.
            unsafe { (self.context.driver.cuMemFreeHost)(self.ptr.cast()) };
        }
    }
}

impl Stream {
    /// Sets all bytes to zero.
    ///
    /// # Errors
    /// [`Error::Driver`].
    pub fn clear<T: Element>(&self, out: ViewMut<'_, T>) -> Result<()> {
        self.fill_bytes(out, 0)
    }

    /// Sets all bytes to `byte` (`0xff` makes every float a NaN: a poison for tests).
    ///
    /// # Errors
    /// [`Error::Driver`].
    pub fn fill_bytes<T: Element>(&self, out: ViewMut<'_, T>, byte: u8) -> Result<()> {
        self.context.bind()?;
        if out.is_empty() {
            return Ok(());
        }
        // SAFETY: the view covers exactly these bytes.
        let code =
            unsafe { (self.context.driver.cuMemsetD8Async)(out.ptr, byte, out.len * size_of::<T>(), self.handle) };
        self.context.driver.check("cuMemsetD8Async", code)
    }

    /// Copies host values in; waits until they are there, since the host memory may be pageable.
    ///
    /// # Errors
    /// [`Error::Argument`] if the lengths differ.
    pub fn write<T: Element>(&self, out: ViewMut<'_, T>, values: &[T]) -> Result<()> {
        same_length(out.len, values.len())?;
        if values.is_empty() {
            return Ok(());
        }
        self.context.bind()?;
        let (driver, bytes) = (&self.context.driver, size_of_val(values));
        // SAFETY: both sides hold `bytes` bytes, and the call below waits before `values` can go away.
        let code = unsafe { (driver.cuMemcpyHtoDAsync_v2)(out.ptr, values.as_ptr().cast(), bytes, self.handle) };
        driver.check("cuMemcpyHtoDAsync", code)?;
        self.synchronize()
    }

    /// Starts a copy from page-locked memory, which must not be written before an event after it has passed.
    ///
    /// # Errors
    /// [`Error::Argument`] if there is more in `values` than room.
    ///
    /// # Safety
    /// `values` must stay alive and unchanged until the stream has passed this copy.
    pub unsafe fn write_pinned<T: Element>(&self, out: ViewMut<'_, T>, values: &Pinned<T>, len: usize) -> Result<()> {
        same_length(out.len, len)?;
        same_length(len.min(values.len), len)?;
        self.context.bind()?;
        let bytes = len * size_of::<T>();
        // SAFETY: both sides hold `bytes` bytes; the caller keeps the source alive.
        let code =
            unsafe { (self.context.driver.cuMemcpyHtoDAsync_v2)(out.ptr, values.ptr.cast(), bytes, self.handle) };
        self.context.driver.check("cuMemcpyHtoDAsync", code)
    }

    /// A host copy; waits for it.
    ///
    /// # Errors
    /// [`Error::Driver`].
    pub fn read<T: Element + Default>(&self, values: View<'_, T>) -> Result<Vec<T>> {
        let mut host = vec![T::default(); values.len];
        if host.is_empty() {
            return Ok(host);
        }
        self.context.bind()?;
        let (driver, bytes) = (&self.context.driver, values.len * size_of::<T>());
        // SAFETY: both sides hold `bytes` bytes, and the call below waits before `host` is used.
        let code = unsafe { (driver.cuMemcpyDtoHAsync_v2)(host.as_mut_ptr().cast(), values.ptr, bytes, self.handle) };
        driver.check("cuMemcpyDtoHAsync", code)?;
        self.synchronize()?;
        Ok(host)
    }

    /// Copies on the GPU.
    ///
    /// # Errors
    /// [`Error::Argument`] if the lengths differ.
    pub fn copy<T: Element>(&self, out: ViewMut<'_, T>, values: View<'_, T>) -> Result<()> {
        same_length(out.len, values.len)?;
        self.context.bind()?;
        let bytes = out.len * size_of::<T>();
        // SAFETY: both views cover `bytes` bytes; one is exclusive, so they do not overlap.
        let code = unsafe { (self.context.driver.cuMemcpyDtoDAsync_v2)(out.ptr, values.ptr, bytes, self.handle) };
        self.context.driver.check("cuMemcpyDtoDAsync", code)
    }
}

fn same_length(room: usize, values: usize) -> Result<()> {
    if room == values { Ok(()) } else { Err(Error::argument(OP, format!("{values} values for room of {room}"))) }
}
