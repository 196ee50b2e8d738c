//go:build unix

package witness

import (
	"errors"
	"log/syslog"
)

// syslogOutput writes to the machine's syslog, under the facility of security messages.
type syslogOutput struct {
	network, address string // both empty: the machine's own
	w                *syslog.Writer
}

func newSyslog() (output, error) { return &syslogOutput{}, nil }

// newEventLog is for Windows.
func newEventLog() (output, error) {
	return nil, errors.New("only Windows has an event log")
}

func (o *syslogOutput) write(line []byte) (err error) {
	if o.w == nil {
		if o.w, err = syslog.Dial(o.network, o.address, syslog.LOG_NOTICE|syslog.LOG_AUTH, "postern-agent"); err != nil {
			o.w = nil
			return err
		}
	}
	_, err = o.w.Write(line) // connects again by itself, once
	return err
}

func (o *syslogOutput) close() error {
	if o.w == nil {
		return nil
	}
	return o.w.Close()
}
