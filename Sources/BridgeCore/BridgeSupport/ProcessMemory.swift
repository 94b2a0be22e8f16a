import CSystem

/// The memory of this process.
public enum ProcessMemory {
    /// Gives memory that was freed back to the system: after work with large buffers that will not be repeated.
    ///
    /// The C library keeps freed blocks of up to 32 MiB for later ones, and the pool of the engine does not use them.
    public static func releaseUnused() { csys_release_unused_memory() }
}
