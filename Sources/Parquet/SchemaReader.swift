/// Builds the tree of columns from the footer's flat list.
///
/// The list and map shapes: https://github.com/apache/parquet-format/blob/master/LogicalTypes.md
struct SchemaReader {
    private static let maximumDepth = 32

    private let elements: [ThriftValue]
    private var next = 1
    private(set) var leaves: [ParquetLeaf] = []

    private init(_ elements: [ThriftValue]) { self.elements = elements }

    /// Reads a schema.
    ///
    /// - Returns: The columns of the file and the leaves below them, both in the order of the file.
    static func read(_ elements: [ThriftValue]) throws(ParquetError) -> (columns: [ParquetNode], leaves: [ParquetLeaf])
    {
        guard let root = elements.first else { throw ParquetError("its schema is empty") }
        var reader = SchemaReader(elements)
        var columns: [ParquetNode] = []
        let count = root[5] == nil ? 0 : try root.count(5, "the number of columns")
        guard count < elements.count else {
            throw ParquetError("its schema has \(count) columns and \(elements.count) elements in all")
        }
        for _ in 0..<count {
            columns.append(try reader.node(path: [], definition: 0, repetition: 0, depth: 0))
        }
        guard reader.next == elements.count else {
            throw ParquetError("its schema has \(elements.count) elements, of which \(reader.next) are in the tree")
        }
        guard Set(columns.map(\.name)).count == columns.count else {
            throw ParquetError("its schema has two columns of one name")
        }
        return (columns, reader.leaves)
    }

    private mutating func node(path: [String], definition: Int, repetition: Int, depth: Int) throws(ParquetError)
        -> ParquetNode
    {
        guard depth < Self.maximumDepth else { throw ParquetError("its schema is nested too deeply") }
        guard next < elements.count else { throw ParquetError("its schema ends in the middle of a group") }
        let element = elements[next]
        next += 1
        guard let name = element[4]?.text else { throw ParquetError("its schema has a column without a name") }
        guard let form = element[3]?.int, (0...2).contains(form) else {
            throw ParquetError("column \(name) is neither required nor optional nor repeated")
        }
        let first = leaves.count
        let definition = definition + (form == 0 ? 0 : 1)
        let repetition = repetition + (form == 2 ? 1 : 0)
        let path = path + [name]
        let isGroup = element[1] == nil
        var children: [ParquetNode] = []
        var kind = ParquetNode.Kind.structure
        if isGroup {
            let count = try element.count(5, "the number of fields of \(name)")
            guard count > 0, count < elements.count else { throw ParquetError("group \(name) has \(count) fields") }
            for _ in 0..<count {
                children.append(
                    try node(path: path, definition: definition, repetition: repetition, depth: depth + 1)
                )
            }
        } else {
            let leaf = try Self.leaf(element, path: path, definition: definition, repetition: repetition)
            leaves.append(leaf)
            kind = leaf.kind
        }
        let range = first..<leaves.count
        if form == 2 {
            // What is repeated is a list of itself; a group that declares a list takes the level away again below.
            let inner = ParquetNode(
                name: name,
                kind: kind,
                isOptional: false,
                children: children,
                definition: definition,
                repetition: repetition,
                leaves: range
            )
            return ParquetNode(
                name: name,
                kind: .list,
                isOptional: false,
                children: [inner],
                definition: definition,
                repetition: repetition,
                leaves: range
            )
        }
        let isList = element[6]?.int == 3 || element[10]?[3] != nil
        let isMap = [1, 2].contains(element[6]?.int) || element[10]?[2] != nil
        if isGroup, isList || isMap, children.count == 1, let repeated = children.first, repeated.kind == .list {
            var elements = repeated.children
            if isList, let only = elements.first, only.kind == .structure, only.children.count == 1,
                only.name != "array", only.name != name + "_tuple"
            {
                elements = only.children
            }
            return ParquetNode(
                name: name,
                kind: .list,
                isOptional: form == 1,
                children: elements,
                definition: repeated.definition,
                repetition: repeated.repetition,
                leaves: range
            )
        }
        return ParquetNode(
            name: name,
            kind: kind,
            isOptional: form == 1,
            children: children,
            definition: definition,
            repetition: repetition,
            leaves: range
        )
    }

    private static func leaf(_ element: ThriftValue, path: [String], definition: Int, repetition: Int)
        throws(ParquetError) -> ParquetLeaf
    {
        let name = path.joined(separator: ".")
        guard let number = element[1]?.int, let physical = ParquetLeaf.Physical(rawValue: number) else {
            throw ParquetError("column \(name) has the unknown type \(element[1]?.int ?? -1)")
        }
        let width = physical == .fixed ? try element.count(2, "the length of \(name)") : 0
        guard physical != .fixed || width > 0 else { throw ParquetError("column \(name) has values of no length") }
        let converted = element[6]?.int
        let logical = element[10]
        let unsigned = (11...14).contains(converted ?? -1) || logical?[10]?[2]?.bool == false
        let kind: ParquetNode.Kind =
            if converted == 5 || logical?[5] != nil {
                .unsupported("decimal")
            } else {
                switch physical {
                case .boolean: .bool
                case .int32: .int
                case .int64: unsigned ? .unsigned : .int
                case .int96: .unsupported("int96, the timestamp of old writers")
                case .float, .double: .double
                case .byteArray:
                    [0, 4, 19].contains(converted) || [1, 4, 12].contains { logical?[$0] != nil } ? .string : .bytes
                case .fixed: logical?[15] != nil && width == 2 ? .double : .bytes
                }
            }
        return ParquetLeaf(
            path: path,
            physical: physical,
            width: width,
            kind: kind,
            isUnsigned: unsigned,
            maximumDefinition: definition,
            maximumRepetition: repetition
        )
    }
}
