import BridgeCore
import JSONTree
import Testing

/// `adapter_config.json`: https://huggingface.co/docs/peft/package_reference/config has the fields.
@Suite struct PEFTConfigurationTests {
    /// PEFT has a field for the revision and takes ids without one.
    @Test(
        arguments: [
            ("org/name@exp", "org/name", "exp"), ("org/name", "org/name", nil), ("org/name@main", "org/name", nil),
            ("/a folder/of@mine", "/a folder/of@mine", nil), ("toy", "toy", nil),
        ] as [(String, String, String?)]
    )
    func theModelAndItsRevisionAreApart(_ base: String, _ name: String, _ revision: String?) throws {
        let json = PEFTConfiguration(rank: 2, alpha: 4, baseModel: base).json(modules: ["q_proj"], taskType: nil)
        #expect(json["base_model_name_or_path"]?.string == name)
        #expect(json["revision"]?.string == revision)
        let read = try PEFTConfiguration(json: json, name: "adapter_config.json")
        #expect(read.baseModel == (revision.map { "\(name)@\($0)" } ?? name))
    }

    @Test func partsThatAreSavedWholeAreNamed() throws {
        let written = PEFTConfiguration(rank: 2, alpha: 4, savedModules: ["multi_modal_projector"])
        let json = written.json(modules: ["q_proj"], taskType: nil)
        #expect(json["modules_to_save"] == ["multi_modal_projector"])
        #expect(try PEFTConfiguration(json: json, name: "adapter_config.json") == written)
        var wrong = json
        wrong.set("lm_head", at: "modules_to_save")
        #expect(throws: BridgeError.self) { try PEFTConfiguration(json: wrong, name: "adapter_config.json") }
    }
}
