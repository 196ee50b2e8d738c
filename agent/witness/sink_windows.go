package witness

import (
	"errors"
	"fmt"
	"syscall"
	"unsafe"
)

// What an event of ours is (winnt.h). The event's id has no text of its own in a message
// file: its one string is the line.
const (
	eventInformation = 4
	eventCheckpoint  = 1
)

// advapi32 has the functions of the event log.
type advapi32 struct{ register, report, deregister *syscall.LazyProc }

func openAdvapi32() advapi32 {
	dll := syscall.NewLazyDLL("advapi32.dll")
	return advapi32{dll.NewProc("RegisterEventSourceW"), dll.NewProc("ReportEventW"), dll.NewProc("DeregisterEventSource")}
}

// eventLogOutput writes to the machine's application log, as the service's source.
type eventLogOutput struct {
	api    advapi32
	handle uintptr
}

// newSyslog is for systems that have one.
func newSyslog() (output, error) {
	return nil, errors.New(`Windows has no syslog; use "eventlog"`)
}

func newEventLog() (output, error) { return &eventLogOutput{api: openAdvapi32()}, nil }

func (o *eventLogOutput) write(line []byte) error {
	if o.handle == 0 {
		name, err := syscall.UTF16PtrFromString("PosternAgent")
		if err != nil {
			return err
		}
		h, _, err := o.api.register.Call(0, uintptr(unsafe.Pointer(name)))
		if h == 0 {
			return fmt.Errorf("RegisterEventSource: %w", err)
		}
		o.handle = h
	}
	text, err := syscall.UTF16PtrFromString(string(line))
	if err != nil {
		return err
	}
	strings := []*uint16{text}
	ok, _, err := o.api.report.Call(o.handle, eventInformation, 0, eventCheckpoint, 0, 1, 0, uintptr(unsafe.Pointer(&strings[0])), 0)
	if ok == 0 {
		return fmt.Errorf("ReportEvent: %w", err)
	}
	return nil
}

func (o *eventLogOutput) close() error {
	if o.handle != 0 {
		_, _, _ = o.api.deregister.Call(o.handle)
	}
	return nil
}
