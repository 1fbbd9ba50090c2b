//! Streams, events and captured graphs.

use std::sync::Arc;

use super::device::Context;
use super::driver::Handle;
use super::{Gpu, Result};

/// A queue of work on the GPU; what is put on one stream runs in order.
pub struct Stream {
    pub(crate) context: Arc<Context>,
    pub(crate) handle: Handle,
}

/// A point in a stream's work that others can wait for and that carries a time.
pub struct Event {
    context: Arc<Context>,
    handle: Handle,
}

/// A captured sequence of launches that replays with one call.
pub struct Graph {
    context: Arc<Context>,
    exec: Handle,
}

// SAFETY: the driver guards streams, events and graphs itself; the handles are plain addresses.
unsafe impl Send for Stream {}
// SAFETY: as above.
unsafe impl Sync for Stream {}
// SAFETY: as above.
unsafe impl Send for Event {}
// SAFETY: as above.
unsafe impl Send for Graph {}

/// `CU_STREAM_NON_BLOCKING`: does not wait for the default stream.
const NON_BLOCKING: u32 = 1;
/// `CU_STREAM_CAPTURE_MODE_THREAD_LOCAL`: other threads may allocate meanwhile.
const CAPTURE_THREAD_LOCAL: i32 = 1;

impl Gpu {
    /// A new stream.
    ///
    /// # Errors
    /// [`crate::cuda::Error::Driver`].
    pub fn stream(&self) -> Result<Stream> {
        let (context, mut handle) = (self.context.clone(), std::ptr::null_mut());
        context.bind()?;
        // SAFETY: `handle` outlives the call.
        let code = unsafe { (context.driver.cuStreamCreateWithPriority)(&mut handle, NON_BLOCKING, 0) };
        context.driver.check("cuStreamCreateWithPriority", code)?;
        Ok(Stream { context, handle })
    }

    /// A new event with a clock.
    ///
    /// # Errors
    /// [`crate::cuda::Error::Driver`].
    pub fn event(&self) -> Result<Event> {
        let (context, mut handle) = (self.context.clone(), std::ptr::null_mut());
        context.bind()?;
        // SAFETY: `handle` outlives the call.
        context.driver.check("cuEventCreate", unsafe { (context.driver.cuEventCreate)(&mut handle, 0) })?;
        Ok(Event { context, handle })
    }
}

impl Stream {
    /// Waits until its work is done.
    ///
    /// # Errors
    /// [`crate::cuda::Error::Driver`] with the first fault of any kernel on it.
    pub fn synchronize(&self) -> Result<()> {
        self.context.bind()?;
        // SAFETY: the stream lives as long as `self`.
        let code = unsafe { (self.context.driver.cuStreamSynchronize)(self.handle) };
        self.context.driver.check("cuStreamSynchronize", code)
    }

    /// Marks the end of the work so far.
    ///
    /// # Errors
    /// [`crate::cuda::Error::Driver`].
    pub fn record(&self, event: &Event) -> Result<()> {
        self.context.bind()?;
        // SAFETY: both handles live through the call.
        let code = unsafe { (self.context.driver.cuEventRecord)(event.handle, self.handle) };
        self.context.driver.check("cuEventRecord", code)
    }

    /// Makes later work of this stream wait for `event`.
    ///
    /// # Errors
    /// [`crate::cuda::Error::Driver`].
    pub fn wait(&self, event: &Event) -> Result<()> {
        self.context.bind()?;
        // SAFETY: both handles live through the call.
        let code = unsafe { (self.context.driver.cuStreamWaitEvent)(self.handle, event.handle, 0) };
        self.context.driver.check("cuStreamWaitEvent", code)
    }

    /// Records what `launches` puts on this stream instead of running it. Nothing inside may allocate, wait or measure: run the
    /// same launches once before, so that kernels are compiled and products are tuned.
    ///
    /// # Errors
    /// Those of `launches`, and [`crate::cuda::Error::Driver`] if something inside cannot be captured.
    pub fn capture(&self, launches: impl FnOnce() -> Result<()>) -> Result<Graph> {
        let driver = &self.context.driver;
        self.context.bind()?;
        // SAFETY: the stream lives as long as `self`.
        let code = unsafe { (driver.cuStreamBeginCapture_v2)(self.handle, CAPTURE_THREAD_LOCAL) };
        driver.check("cuStreamBeginCapture", code)?;
        let launched = launches();
        let (mut graph, mut exec) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: ends the capture begun above, also after a failure inside it; the graph is freed once it is instantiated.
        unsafe {
            let ended = driver.check("cuStreamEndCapture", (driver.cuStreamEndCapture)(self.handle, &mut graph));
            launched?;
            ended?;
            let code = (driver.cuGraphInstantiateWithFlags)(&mut exec, graph, 0);
            (driver.cuGraphDestroy)(graph);
            driver.check("cuGraphInstantiate", code)?;
        }
        Ok(Graph { context: self.context.clone(), exec })
    }

    /// Puts a captured sequence on this stream.
    ///
    /// # Errors
    /// [`crate::cuda::Error::Driver`].
    pub fn launch(&self, graph: &Graph) -> Result<()> {
        self.context.bind()?;
        // SAFETY: both handles live through the call; the memory that was captured is the caller's to keep.
        let code = unsafe { (self.context.driver.cuGraphLaunch)(graph.exec, self.handle) };
        self.context.driver.check("cuGraphLaunch", code)
    }
}

impl Event {
    /// Waits until the work before it is done; returns at once if it was never recorded.
    ///
    /// # Errors
    /// [`crate::cuda::Error::Driver`].
    pub fn synchronize(&self) -> Result<()> {
        self.context.bind()?;
        // SAFETY: the event lives through the call.
        let code = unsafe { (self.context.driver.cuEventSynchronize)(self.handle) };
        self.context.driver.check("cuEventSynchronize", code)
    }

    /// Milliseconds from `start` to this event; waits for this one.
    ///
    /// # Errors
    /// [`crate::cuda::Error::Driver`] if one was never recorded.
    pub fn since_ms(&self, start: &Self) -> Result<f32> {
        let driver = &self.context.driver;
        self.context.bind()?;
        let mut ms = 0.0;
        // SAFETY: both events live through the calls, `ms` too.
        unsafe {
            driver.check("cuEventSynchronize", (driver.cuEventSynchronize)(self.handle))?;
            driver.check("cuEventElapsedTime", (driver.cuEventElapsedTime)(&mut ms, start.handle, self.handle))?;
        }
        Ok(ms)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: the driver finishes pending work of a destroyed stream; nobody else has the handle.
        unsafe { (self.context.driver.cuStreamDestroy_v2)(self.handle) };
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: nobody else has the handle.
        unsafe { (self.context.driver.cuEventDestroy_v2)(self.handle) };
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: nobody else has the handle.
        unsafe { (self.context.driver.cuGraphExecDestroy)(self.exec) };
    }
}
