import BridgeCore
import JSONTree
import Tokenizers

/// The makers for data sets of text.
extension ConversationMaker {
    static let texts: [ConversationMaker] = [
        ConversationMaker(
            name: "make_squad_dataset",
            dataset: "rajpurkar/squad",
            columns: [["context"], ["question"], ["answers"]]
        ) { row in
            // Megatron Bridge takes the first of several answers, too.
            guard let answers = try row.value("answers")?["text"]?.array else {
                throw BridgeError(
                    .corruptInput,
                    "the column answers holds no list of texts under text; the maker needs other columns"
                )
            }
            guard let answer = answers.first?.string else {
                throw BridgeError(
                    .corruptInput,
                    "the column answers is empty, expected a text; remove questions without an answer, which SQuAD 2.0 has"
                )
            }
            let (context, question) = (try row.text("context"), try row.text("question"))
            return exchange([], "Context: \(context) Question: \(question) Answer:", answer: answer)
        },
        ConversationMaker(
            name: "make_gsm8k_dataset",
            dataset: "openai/gsm8k#main",
            columns: [["question"], ["answer"]]
        ) { row in
            exchange([], "Question: \(try row.text("question")) Answer:", answer: try row.text("answer"))
        },
        // Its rows hold conversations.
        ConversationMaker(
            name: "make_tulu3_dataset",
            dataset: "allenai/tulu-3-sft-mixture",
            columns: [ConversationRow.forms],
            make: written
        ),
        ConversationMaker(
            name: "make_openmathinstruct2_dataset",
            dataset: "nvidia/OpenMathInstruct-2",
            split: "train_1M",
            columns: [["problem"], ["generated_solution"]]
        ) { row in
            exchange([], "Problem: \(try row.text("problem")) Solution:", answer: try row.text("generated_solution"))
        },
        ConversationMaker(
            name: "make_openmathinstruct2_thinking_dataset",
            dataset: "nvidia/OpenMathInstruct-2",
            split: "train_1M",
            columns: [["problem"], ["generated_solution"], ["expected_answer"]]
        ) { row in
            let expected = try row.text("expected_answer")
            var conversation = exchange([], try row.text("problem"), answer: "#### \(expected)")
            let thinking = BoxedSolution(try row.text("generated_solution")).reasoning
            conversation.messages[1].fields.insert(.init("thinking", .text(thinking)), at: 1)
            return conversation
        },
    ]
}
