//! Data that travels to the GPU beside the kernels: two page-locked buffers and two on the GPU, used in turn.

use super::memory::{Buffer, Element, Pinned, View};
use super::stream::Event;
use super::{Error, Gpu, Result, Stream};

/// One of the two.
struct Slot<T: Element> {
    host: Pinned<T>,
    device: Buffer<T>,
    /// The copy is done: the GPU's buffer may be read, the host's written.
    copied: Event,
    /// What reads the GPU's buffer is done: it may be overwritten.
    consumed: Event,
}

/// An upload that runs on a stream of its own while the previous data is computed with.
///
/// [`Upload::send`] starts a copy, [`Upload::receive`] hands it to a stream, [`Upload::release`] says that this stream is done with it.
pub struct Upload<T: Element> {
    copies: Stream,
    slots: [Slot<T>; 2],
    /// Copies started, and copies handed out.
    sent: usize,
    received: usize,
}

impl<T: Element> Upload<T> {
    /// For `len` values at a time.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], [`Error::Driver`] if the host has no room.
    pub fn new(gpu: &Gpu, len: usize) -> Result<Self> {
        let copies = gpu.stream()?;
        let passed = || -> Result<Event> {
            let event = gpu.event()?;
            copies.record(&event).map(|()| event)
        };
        let slot = || -> Result<Slot<T>> {
            let device = gpu.unset(len, "an upload")?;
            Ok(Slot { host: gpu.pinned(len)?, device, copied: passed()?, consumed: passed()? })
        };
        let slots = [slot()?, slot()?];
        Ok(Self { copies, slots, sent: 0, received: 0 })
    }

    /// Lets `fill` write the next values and starts their copy; waits only if the copy before the last is still under way.
    ///
    /// # Errors
    /// [`Error::Argument`] if two copies wait to be received already, [`Error::Driver`].
    pub fn send(&mut self, fill: impl FnOnce(&mut [T])) -> Result<()> {
        if self.sent >= self.received + 2 {
            return Err(Error::argument("upload", "a third copy before the first was received"));
        }
        let slot = &mut self.slots[self.sent % 2];
        slot.copied.synchronize()?;
        fill(slot.host.as_mut_slice());
        self.copies.wait(&slot.consumed)?;
        let len = slot.host.as_slice().len();
        // SAFETY: the page-locked memory lives as long as `self`, which waits for its copies when dropped, and is written only after
        // `copied` has passed.
        unsafe { self.copies.write_pinned(slot.device.view_mut(), &slot.host, len)? };
        self.copies.record(&slot.copied)?;
        self.sent += 1;
        Ok(())
    }

    /// The oldest copy that was not received yet; work put on `stream` from here on waits for it.
    ///
    /// # Errors
    /// [`Error::Argument`] if nothing was sent, [`Error::Driver`].
    pub fn receive(&mut self, stream: &Stream) -> Result<View<'_, T>> {
        if self.received >= self.sent {
            return Err(Error::argument("upload", "nothing was sent"));
        }
        let slot = &self.slots[self.received % 2];
        stream.wait(&slot.copied)?;
        self.received += 1;
        Ok(slot.device.view())
    }

    /// Says that what `stream` has been given so far is the last to read the copy received last.
    ///
    /// # Errors
    /// [`Error::Driver`].
    pub fn release(&self, stream: &Stream) -> Result<()> {
        match self.received.checked_sub(1) {
            None => Ok(()),
            Some(last) => stream.record(&self.slots[last % 2].consumed),
        }
    }
}

impl<T: Element> Drop for Upload<T> {
    fn drop(&mut self) {
        // The page-locked memory may not go while a copy reads it; a failure here has nobody left to hear it.
        let _ = self.copies.synchronize();
    }
}
