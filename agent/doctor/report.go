package doctor

import "time"

// A Report is what was looked at, in order. One goroutine uses it at a time.
type Report struct {
	Version string    // of the agent
	Time    time.Time // when it began
	Steps   []Step
	// Persons are names of accounts that stand in the steps, which a bundle leaves out.
	Persons []string
	// Untried are branches of the file of which no account was looked at.
	Untried []string
}

// A Step is one thing that was looked at. Number is 0 when all is well.
type Step struct {
	Area   string   // where it belongs: "hub", "directory"
	What   string   // what was looked at: "certificate"
	Detail string   // what was seen, in one line
	Number int      // of the finding
	Lines  []string // more of what was seen: a chain, servers
	Paste  []string // lines for an administrator to run, whole
	Write  []string // lines of the agent's file, in place of those of the same key
	Table  string   // where Write belongs: "directory"
}

// OK notes that all is well.
func (r *Report) OK(area, what, detail string, lines ...string) {
	r.Steps = append(r.Steps, Step{Area: area, What: what, Detail: detail, Lines: lines})
}

// Found notes a finding.
func (r *Report) Found(area, what string, number int, detail string, lines ...string) {
	r.Steps = append(r.Steps, Step{Area: area, What: what, Number: number, Detail: detail, Lines: lines})
}

// Advise notes a finding with lines for an administrator to run.
func (r *Report) Advise(area, what string, number int, detail string, paste []string) {
	r.Steps = append(r.Steps, Step{Area: area, What: what, Number: number, Detail: detail, Paste: paste})
}

// Write gives the last step lines of a table of the agent's file.
func (r *Report) Write(table string, lines ...string) {
	s := &r.Steps[len(r.Steps)-1]
	s.Table, s.Write = table, lines
}

// Has reports whether the report has a finding.
func (r *Report) Has(number int) bool {
	for _, s := range r.Steps {
		if s.Number == number {
			return true
		}
	}
	return false
}

// Severity is that of the step's finding, "" when all is well.
func (s Step) Severity() Severity { return ByNumber(s.Number).Severity }

// Count says how many steps have a finding of a severity.
func (r *Report) Count(of Severity) int {
	n := 0
	for _, s := range r.Steps {
		if s.Severity() == of {
			n++
		}
	}
	return n
}

// Exit codes by the worst severity. 2 stays that of a misspelt command.
const (
	ExitWell     = 0 // also with notes
	ExitProblems = 1
	ExitWarnings = 3
)

// Exit is the code to end a program with.
func (r *Report) Exit() int {
	switch {
	case r.Count(Problem) > 0:
		return ExitProblems
	case r.Count(Warning) > 0:
		return ExitWarnings
	}
	return ExitWell
}

// First is the step to begin with: the first problem, else the first warning.
func (r *Report) First() (Step, bool) {
	for _, severity := range []Severity{Problem, Warning} {
		for _, s := range r.Steps {
			if s.Severity() == severity {
				return s, true
			}
		}
	}
	return Step{}, false
}
