import Checkpoints

extension RunReport {
  /// Everything the report is made from, for other programs.
  public var json: JSON {
    [
      "title": .string(title), "metric": .string(metric), "metric_larger_is_better": .bool(largerIsBetter),
      "best": best.map { .string($0.name) } ?? .null, "runs": .array(runs.map(\.json)),
    ]
  }
}

extension RunRecord {
  var json: JSON {
    func text(_ value: String?) -> JSON { value.map { .string($0) } ?? .null }
    func count(_ value: Int?) -> JSON { value.map { .integer($0) } ?? .null }
    func number(_ value: Double?) -> JSON { value.map { $0.isFinite ? .double($0) : .null } ?? .null }
    return [
      "name": .string(name), "finished": .bool(isFinished), "method": text(method), "model": text(model),
      "task": text(task), "learning_rate": text(learningRate), "steps": count(steps),
      "global_batch_size": count(globalBatchSize), "trainable_parameters": count(trainableParameters),
      "trainable_share": number(trainableShare), "adapter_bytes": count(adapterBytes),
      "adapter_sha256": text(adapterSHA256), "best_step": count(bestStep), "best_value": number(bestValue),
      "test_value": number(testValue), "seconds_per_epoch": number(secondsPerEpoch),
      "training_seconds": number(trainingSeconds), "peak_rss_mb": .array(peakMegabytes.map { .integer($0) }),
      "ranks": count(ranks), "threads_per_rank": count(threadsPerRank),
      "evaluations": .array(
        evaluations.map { evaluation in
          [
            "step": .integer(evaluation.step), "epoch": .double(evaluation.epoch),
            "training_seconds": number(evaluation.trainingSeconds), "training_loss": number(evaluation.trainingLoss),
            "loss": number(evaluation.loss), "value": number(evaluation.value),
          ]
        }),
    ]
  }
}
