//! The run-time compiler: `.cu` text to machine code.

use std::ffi::{CString, c_char, c_int, c_void};

use super::library::functions;
use super::{Error, Result};

type Program = *mut c_void;

functions! {
    /// `libnvrtc`.
    NvrtcApi {
        nvrtcVersion(*mut c_int, *mut c_int) -> c_int;
        nvrtcCreateProgram(*mut Program, *const c_char, *const c_char, c_int, *const *const c_char, *const *const c_char) -> c_int;
        nvrtcDestroyProgram(*mut Program) -> c_int;
        nvrtcCompileProgram(Program, c_int, *const *const c_char) -> c_int;
        nvrtcGetCUBINSize(Program, *mut usize) -> c_int;
        nvrtcGetCUBIN(Program, *mut c_char) -> c_int;
        nvrtcGetProgramLogSize(Program, *mut usize) -> c_int;
        nvrtcGetProgramLog(Program, *mut c_char) -> c_int;
    }
}

impl NvrtcApi {
    /// `major.minor`, if it answers.
    pub fn version(&self) -> Option<String> {
        let (mut major, mut minor) = (0, 0);
        // SAFETY: both outlive the call.
        let code = unsafe { (self.nvrtcVersion)(&mut major, &mut minor) };
        (code == 0).then(|| format!("{major}.{minor}"))
    }

    /// Machine code of `source` for `sm_<major><minor>`.
    ///
    /// # Errors
    /// [`Error::Compile`] with the compiler's log.
    pub fn compile(&self, file: &'static str, source: &str, options: &[String]) -> Result<Vec<u8>> {
        let arch = options.first().cloned().unwrap_or_default();
        let fail = |log: String| Error::Compile { file, arch: arch.clone(), log };
        let text = |text: &str| CString::new(text).map_err(|_| fail("a zero byte in the source or an option".into()));
        let (source, name) = (text(source)?, text(file)?);
        let options = options.iter().map(|option| text(option)).collect::<Result<Vec<_>>>()?;
        let options: Vec<*const c_char> = options.iter().map(|option| option.as_ptr()).collect();
        let mut program: Program = std::ptr::null_mut();
        let none = std::ptr::null();
        // SAFETY: all strings end in zero and outlive the program; sizes come from the compiler itself before each read.
        unsafe {
            let code = (self.nvrtcCreateProgram)(&mut program, source.as_ptr(), name.as_ptr(), 0, none, none);
            if code != 0 {
                return Err(fail(format!("nvrtcCreateProgram: {code}")));
            }
            let code = (self.nvrtcCompileProgram)(program, options.len() as c_int, options.as_ptr());
            let read = |size: unsafe extern "C" fn(Program, *mut usize) -> c_int,
                        get: unsafe extern "C" fn(Program, *mut c_char) -> c_int| {
                let mut len = 0;
                size(program, &mut len);
                let mut bytes = vec![0u8; len];
                get(program, bytes.as_mut_ptr().cast());
                bytes
            };
            let result = if code == 0 {
                Ok(read(self.nvrtcGetCUBINSize, self.nvrtcGetCUBIN))
            } else {
                let log = read(self.nvrtcGetProgramLogSize, self.nvrtcGetProgramLog);
                Err(fail(String::from_utf8_lossy(&log).trim_end_matches('\0').to_string()))
            };
            (self.nvrtcDestroyProgram)(&mut program);
            result
        }
    }
}
