package protocol

import (
	"slices"
	"strconv"
)

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

// Known is the examination with what this side has no word for taken for the word that
// says the least.
func (e Examination) Known() Examination {
	if !slices.Contains([]ExaminedDirectory{DirectoryServes, DirectoryAway, DirectoryUntrusted, DirectoryRefuses}, e.Directory) {
		e.Directory = DirectoryBroken
	}
	if e.Bases != BasesFound && e.Bases != BasesMissing {
		e.Bases = BasesUnknown
	}
	if !slices.Contains([]ExaminedDisk{DiskEnough, DiskLow, DiskFull}, e.Disk) {
		e.Disk = DiskUnknown
	}
	return e
}

// An ExaminedFinding is what the agent's own examination calls an answer, and the first
// thing to do about it.
type ExaminedFinding struct {
	Number int    `json:"number"` // in docs/findings.md
	Fix    string `json:"fix"`
	Page   string `json:"page"` // where the documentation speaks of it
}

// Findings are what is wrong, the worst first; nil if nothing is.
func (e Examination) Findings() []ExaminedFinding {
	var all []ExaminedFinding
	for _, row := range examinedFindings {
		if row.of(e) {
			all = append(all, ExaminedFinding{row.number, row.fix, "docs/findings.md#f" + strconv.Itoa(row.number)})
		}
	}
	return all
}

// examinedFindings says which answers are findings. Numbers and fixes are those of the
// agent's own table.
var examinedFindings = []struct {
	of     func(Examination) bool
	number int
	fix    string
}{
	{func(e Examination) bool { return e.Disk == DiskFull }, 204, "make room: without it the agent carries out nothing"},
	{func(e Examination) bool { return e.Directory == DirectoryAway }, 303, "look at urls in the table [directory]; allow TCP from this machine to that port"},
	{func(e Examination) bool { return e.Directory == DirectoryUntrusted }, 304, "put the authority's certificate (PEM) into ca_file in the table [directory]"},
	{func(e Examination) bool { return e.Directory == DirectoryRefuses }, 310, "look at bind_dn and at the file that bind_password_file names; on Active Directory write name@domain"},
	{func(e Examination) bool { return e.Directory == DirectoryBroken }, 320, "do what the line above says; look at the table [directory]"},
	{func(e Examination) bool { return e.Bases == BasesMissing }, 317, "correct it in the table [directory]; or let the agent's account see it"},
	{func(e Examination) bool { return e.Disk == DiskLow }, 205, "make room; the agent's own logs take 120 MB at most"},
}
