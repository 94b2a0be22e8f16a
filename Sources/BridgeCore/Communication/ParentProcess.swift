import CSystem
import Glibc

/// The process that started this one.
public enum ParentProcess {
    /// Has the system send this process a signal when its parent ends, in whatever way; also after an `exec`.
    ///
    /// - Parameters:
    ///   - signal: The signal.
    ///   - parent: The process that should be the parent; nil where it is not known.
    /// - Returns: False when the parent has ended before.
    public static func endsThisOne(with signal: Int32, parent: Int32?) -> Bool {
        _ = csys_end_with_parent(signal)
        return parent.map { getppid() == $0 } ?? true
    }
}
