import ArgumentParser
import Foundation
import TestSupport
import Testing

@testable import peft_dist

/// Options as people type them who come from other programs.
@Suite struct SpellingTests {
  @Test(arguments: [
    ("--model_name_or_path", "here it is --model"), ("--lr", "here it is --learning-rate"),
    ("--per_device_train_batch_size", "here it is --global-batch-size"), ("--batch-size", "over all ranks"),
    ("--num_train_epochs", "here it is --epochs"), ("--num-epochs", "--epochs"), ("--max_steps", "--steps"),
    ("--output_dir", "here it is --output"), ("--eval_steps", "--eval-every"), ("--save_steps", "--save-every"),
    ("--logging_steps", "--log-every"), ("--save_total_limit", "--keep-checkpoints"),
    ("--warmup_ratio", "--warmup-steps"),
    ("--lr_scheduler_type", "--schedule"), ("--optim", "--optimizer"), ("--fp16", "--precision fp16"),
    ("--bf16", "--precision bf16"), ("--resume_from_checkpoint", "--resume"),
    ("--max_seq_length", "--max-source-length"),
    ("--validation_file", "--eval-file"), ("--dataset_name", "--train-file"), ("--peft-type", "--method"),
    ("--rank", "--lora-r"),
    ("--num_virtual_tokens", "--virtual-tokens"), ("--nproc_per_node", "launch.sh -n"),
  ])
  func anotherProgramsNameIsAnsweredWithOurs(name: String, answer: String) throws {
    for argument in [name, name + "=3"] {
      let error = #expect(throws: ValidationError.self) { try Spellings.understood(["train", argument, "3"]) }
      #expect(error?.message.hasPrefix("Unknown option '\(name)': ") == true && error?.message.contains(answer) == true)
    }
  }

  @Test(arguments: [
    (["train", "--learning_rate", "0.1"], ["train", "--learning-rate", "0.1"]),
    (["--label_names=a_b,c_d"], ["--label-names=a_b,c_d"]), (["--learning-rate", "-0.1"], ["--learning-rate=-0.1"]),
    (["--lora-alpha=1", "-2"], ["--lora-alpha=1", "-2"]), (["-n", "2", "-x"], ["-n", "2", "-x"]),
    (["classify", "--", "--lr", "-1"], ["classify", "--", "--lr", "-1"]), (["--stop", ".5x"], ["--stop", ".5x"]),
  ])
  func underscoresAndNegativeNumbersAreUnderstood(typed: [String], understood: [String]) throws {
    #expect(try Spellings.understood(typed) == understood)
  }

  /// No name of the table is one of an option here.
  @Test func everyOptionOfOursIsLeftAlone() throws {
    let tiny = try TinyRun()
    for command in [
      "train", "compare", "sweep", "report", "evaluate", "generate", "classify", "merge", "convert-prompt",
      "init-model",
      "train-tokenizer", "make-reviews", "inspect", "conformance", "doctor", "bench train", "bench generate",
      "bench evaluate",
      "diff", "verify",
    ] {
      let help = try tiny.run(command.split(separator: " ").map(String.init) + ["--help"]).output
      #expect(help.contains("USAGE: peft-dist"), "\(command)")
      for name in help.matches(of: /--([a-z-]+)/).map({ "--\($0.1)" }) {
        #expect(try Spellings.understood([command, name]) == [command, name])
      }
    }
  }

  @Test func messagesSayWhatHelps() throws {
    let tiny = try TinyRun()
    func errors(_ arguments: [String], code: Int32) throws -> String {
      let run = try tiny.run(arguments)
      #expect(run.exitCode == code, "\(run.errors)")
      return run.errors
    }
    let base = ["--task", "imdb", "--data-dir", tiny.data.path, "--output", tiny.file("run").path]
    #expect(
      try errors(["train", "--model", "t5-small"] + base, code: 1).contains("hf download NAME --local-dir FOLDER"))
    let typo = try errors(["compare", "--methods", "lora,lorra", "--model", tiny.model.path] + base, code: 2)
    #expect(typo.contains("Usage: peft-dist compare ") && typo.contains("'peft-dist compare --help'"), "\(typo)")
    let rate = try errors(["train", "--learning-rate", "-0.1", "--model", tiny.model.path] + base, code: 2)
    #expect(rate.contains("--learning-rate -0.1: expected a number from 0"), "\(rate)")
    let folder = tiny.file("tables")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    try Data("text,label\na,1\n".utf8).write(to: folder.appending(path: "mine.csv"))
    let place = [
      "train", "--model", tiny.model.path, "--task", "imdb", "--output", tiny.file("run").path, "--data-dir",
      folder.path,
    ]
    #expect(try errors(place, code: 1).contains("name the file itself (--train-file); found are mine.csv"))
    try Data("{\"text\":\"a\"}\n".utf8).write(to: folder.appending(path: "train.jsonl"))
    #expect(try errors(place, code: 1).contains("training and evaluation need the labels"))
  }
}
