package protocol

// An Examination is what an agent tells a hub that asks how it is: a closed set of
// words, nothing of any account or right, and no text of anybody's (T33).
type Examination struct {
	Directory ExaminedDirectory `json:"directory"`
	Bases     ExaminedBases     `json:"bases"`
	Disk      ExaminedDisk      `json:"disk"`
}

// MaxExaminedPerHour is how often an agent answers.
const MaxExaminedPerHour = 6

// An ExaminedDirectory says whether the directory serves the agent.
type ExaminedDirectory string

// Answers about the directory.
const (
	DirectoryServes    ExaminedDirectory = "serves"
	DirectoryAway      ExaminedDirectory = "away"
	DirectoryUntrusted ExaminedDirectory = "untrusted" // its certificate
	DirectoryRefuses   ExaminedDirectory = "refuses"   // the agent's own account
	DirectoryBroken    ExaminedDirectory = "broken"    // everything else
)

// An ExaminedBases says whether the branches of the agent's file exist.
type ExaminedBases string

// Answers about the branches.
const (
	BasesFound   ExaminedBases = "found"
	BasesMissing ExaminedBases = "missing"
	BasesUnknown ExaminedBases = "unknown"
)

// An ExaminedDisk says whether the agent can write what it must.
type ExaminedDisk string

// Answers about the disk.
const (
	DiskEnough  ExaminedDisk = "enough"
	DiskLow     ExaminedDisk = "low"
	DiskFull    ExaminedDisk = "full"
	DiskUnknown ExaminedDisk = "unknown"
)
