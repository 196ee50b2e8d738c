package command

import (
	"os/exec"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

// A group is a job object: what the worker starts is in it too, and ends with it, also
// when the agent dies, whose handle is the only one.
type group struct{ job windows.Handle }

// start starts the worker suspended, so that it starts nothing outside of the job.
func (g *group) start(cmd *exec.Cmd) error {
	job, err := newJob()
	if err != nil {
		return err
	}
	g.job = job
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.HideWindow = true
	cmd.SysProcAttr.CreationFlags = windows.CREATE_SUSPENDED | windows.CREATE_NEW_PROCESS_GROUP
	if err := cmd.Start(); err != nil {
		g.close()
		return err
	}
	pid := uint32(cmd.Process.Pid)
	if err := g.adopt(pid); err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		g.close()
		return err
	}
	return nil
}

// newJob makes a job object that kills what is in it when its handle is closed.
func newJob() (windows.Handle, error) {
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return 0, err
	}
	limits := windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION{
		BasicLimitInformation: windows.JOBOBJECT_BASIC_LIMIT_INFORMATION{LimitFlags: windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE},
	}
	_, err = windows.SetInformationJobObject(job, windows.JobObjectExtendedLimitInformation, uintptr(unsafe.Pointer(&limits)), uint32(unsafe.Sizeof(limits)))
	if err != nil {
		_ = windows.CloseHandle(job)
		return 0, err
	}
	return job, nil
}

// adopt puts a suspended process into the job and lets it run.
func (g *group) adopt(pid uint32) error {
	h, err := windows.OpenProcess(windows.PROCESS_SET_QUOTA|windows.PROCESS_TERMINATE, false, pid)
	if err != nil {
		return err
	}
	defer func() { _ = windows.CloseHandle(h) }()
	if err := windows.AssignProcessToJobObject(g.job, h); err != nil {
		return err
	}
	return resume(pid)
}

// resume lets the threads of a process run; a suspended one has a single thread.
func resume(pid uint32) error {
	all, err := windows.CreateToolhelp32Snapshot(windows.TH32CS_SNAPTHREAD, 0)
	if err != nil {
		return err
	}
	defer func() { _ = windows.CloseHandle(all) }()
	entry := windows.ThreadEntry32{Size: uint32(unsafe.Sizeof(windows.ThreadEntry32{}))}
	for err = windows.Thread32First(all, &entry); err == nil; err = windows.Thread32Next(all, &entry) {
		if entry.OwnerProcessID != pid {
			continue
		}
		thread, err := windows.OpenThread(windows.THREAD_SUSPEND_RESUME, false, entry.ThreadID)
		if err != nil {
			return err
		}
		_, err = windows.ResumeThread(thread)
		_ = windows.CloseHandle(thread)
		return err
	}
	return err
}

// await returns when the worker has ended. Its handle keeps its number its own.
func (*group) await(cmd *exec.Cmd) { _ = cmd.Wait() }

// kill ends everything in the job.
func (g *group) kill(*exec.Cmd) {
	if g.job != 0 {
		_ = windows.TerminateJobObject(g.job, 1)
	}
}

func (g *group) close() {
	if g.job != 0 {
		_ = windows.CloseHandle(g.job)
		g.job = 0
	}
}

// cmd is the worker's command: a list as it is, a line through cmd /c. The shell gets the
// line as it stands: its quoting is not that of other programs.
func (c Config) cmd() *exec.Cmd {
	cmd := exec.Command("cmd.exe")
	if c.shell == "" {
		cmd = exec.Command(c.argv[0], c.argv[1:]...)
	} else {
		cmd.SysProcAttr = &syscall.SysProcAttr{CmdLine: `cmd.exe /d /s /c "` + c.shell + `"`}
	}
	cmd.Dir, cmd.Env = c.WorkDir, c.environ()
	return cmd
}

// trusted trusts the folder's access list, as Windows does.
func (Config) trusted() error { return nil }
