/// Assembles the entries of a row's leaves, by their levels.
///
/// The levels: S. Melnik et al., "Dremel: Interactive Analysis of Web-Scale Datasets", VLDB 2010, section 4.
struct RowAssembler {
    /// The entries of one leaf, and the index of the next.
    struct Cursor {
        let segment: ColumnChunk.Segment
        let leaf: ParquetLeaf
        var next: Int
        let end: Int

        /// The definition level of the next entry.
        func definition() throws(ParquetError) -> Int {
            guard next < end else {
                throw ParquetError("column \(leaf.path.joined(separator: ".")) has too few values in a row")
            }
            return leaf.maximumDefinition == 0 ? 0 : Int(segment.definition[next])
        }

        /// The repetition level of the next entry; nil at the end of the row.
        var repetition: Int? {
            guard next < end else { return nil }
            return leaf.maximumRepetition == 0 ? 0 : Int(segment.repetition[next])
        }
    }

    /// By the number of the leaf.
    var cursors: [Int: Cursor]
    /// The number of values that the row may still have.
    var valuesLeft: Int

    /// Reads a column's value and checks that nothing of the row is left.
    mutating func row(_ node: ParquetNode) throws(ParquetError) -> ParquetValue {
        let value = try read(node)
        for leaf in node.leaves {
            guard let cursor = cursors[leaf], cursor.next == cursor.end else {
                throw ParquetError("column \(node.name) has levels that contradict each other")
            }
        }
        return value
    }

    private mutating func read(_ node: ParquetNode) throws(ParquetError) -> ParquetValue {
        valuesLeft -= 1
        guard valuesLeft >= 0 else { throw ParquetError("a row has more values than are supported") }
        switch node.kind {
        case .list:
            let level = try definition(of: node)
            if level < node.definition {
                try skip(node)
                // Below the list's own level the list is empty; one further below the group around it is null.
                return node.isOptional && level < node.definition - 1 ? .null : .list([])
            }
            guard let element = node.children.first, let first = cursors[node.leaves.lowerBound] else { break }
            var values: [ParquetValue] = []
            var position = first.next
            repeat {
                values.append(try read(element))
                guard let cursor = cursors[node.leaves.lowerBound], cursor.next > position else { break }
                position = cursor.next
            } while cursors[node.leaves.lowerBound]?.repetition == node.repetition
            return .list(values)
        case .structure:
            if node.isOptional, try definition(of: node) < node.definition {
                try skip(node)
                return .null
            }
            var fields: [ParquetValue.Field] = []
            for child in node.children { fields.append(.init(name: child.name, value: try read(child))) }
            return .structure(fields)
        case .bool, .int, .unsigned, .double, .string, .bytes, .unsupported:
            guard var cursor = cursors[node.leaves.lowerBound] else { break }
            _ = try cursor.definition()
            let value = cursor.segment.values[cursor.next]
            cursor.next += 1
            cursors[node.leaves.lowerBound] = cursor
            guard value != .null || cursor.leaf.maximumDefinition > 0 else { break }
            return value
        }
        throw ParquetError("column \(node.name) has levels that contradict each other")
    }

    private func definition(of node: ParquetNode) throws(ParquetError) -> Int {
        guard let cursor = cursors[node.leaves.lowerBound] else { throw ParquetError("column \(node.name) is empty") }
        return try cursor.definition()
    }

    /// Steps over the one entry that every leaf has where there is nothing.
    private mutating func skip(_ node: ParquetNode) throws(ParquetError) {
        for leaf in node.leaves {
            guard var cursor = cursors[leaf] else { throw ParquetError("column \(node.name) is empty") }
            guard try cursor.definition() < node.definition else {
                throw ParquetError("column \(node.name) has levels that contradict each other")
            }
            cursor.next += 1
            cursors[leaf] = cursor
        }
    }
}
