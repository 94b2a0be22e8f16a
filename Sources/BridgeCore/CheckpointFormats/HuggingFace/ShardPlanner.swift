import BridgeSupport

/// Divides tensors into weight files, named as transformers does.
package enum ShardPlanner {
    /// The most bytes of tensors in a file, those of the hub and of transformers' own default.
    package static let largestShard = 5_000_000_000

    /// The files in order.
    ///
    /// - Parameters:
    ///   - tensors: The tensors in the order of the files.
    ///   - limit: The most bytes in a file, except for a file of one tensor.
    ///   - prefix: The prefix of the names.
    ///   - byteCount: The size of a tensor.
    /// - Returns: The names, with the tensors of each.
    package static func shards<Tensor>(
        _ tensors: [Tensor],
        limit: Int = largestShard,
        prefix: String,
        byteCount: (Tensor) -> Int
    ) -> [(name: String, tensors: [Tensor])] {
        var groups: [[Tensor]] = [[]]
        var size = 0
        for tensor in tensors {
            if size + byteCount(tensor) > limit, size > 0 {
                groups.append([])
                size = 0
            }
            groups[groups.count - 1].append(tensor)
            size += byteCount(tensor)
        }
        return groups.enumerated().map { index, group in
            let number =
                groups.count == 1 ? "" : "-\((index + 1).padded(to: 5))-of-\(groups.count.padded(to: 5))"
            return ("\(prefix)\(number).safetensors", group)
        }
    }
}
