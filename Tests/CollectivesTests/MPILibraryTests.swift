import Testing

@testable import Collectives

@Suite struct MPILibraryTests {
  @Test func knowsItsVersion() {
    #expect(MPILibrary.version.hasPrefix("Open MPI v") && !MPILibrary.version.contains(","))
    #expect(MPILibrary.major(of: MPILibrary.version).map { $0 >= 4 } == true)
    #expect(MPILibrary.major(of: "Open MPI v5.0.7rc1") == 5)
    #expect(MPILibrary.major(of: "MPICH Version: 4.2") == nil)
  }

  /// TCP is left out only by Open MPI 5, on one machine, and where nobody chose the transports.
  @Test func leavesOutTCPOnOneMachine() {
    func settings(_ major: Int?, _ size: String?, _ local: String?, _ more: [String: String] = [:]) -> [String: String]
    {
      var environment = more
      environment["OMPI_COMM_WORLD_SIZE"] = size
      environment["OMPI_COMM_WORLD_LOCAL_SIZE"] = local
      return MPILibrary.settings(major: major, environment: environment)
    }
    #expect(settings(5, "3", "3") == ["OMPI_MCA_btl": "self,sm"])
    #expect(settings(6, "1", "1") == ["OMPI_MCA_btl": "self,sm"])
    #expect(settings(4, "3", "3").isEmpty && settings(nil, "3", "3").isEmpty)
    #expect(settings(5, "3", "2").isEmpty)
    #expect(settings(5, "3", "3", ["OMPI_MCA_btl": "^openib"]).isEmpty)
    #expect(settings(5, "3", "3", ["OMPI_MCA_pml": "ucx"]).isEmpty)
    // Alone, and as a task of Slurm.
    #expect(settings(4, nil, nil)["OMPI_MCA_btl"] == "self")
    #expect(settings(4, nil, nil, ["PMIX_RANK": "0"]).isEmpty)
  }
}
