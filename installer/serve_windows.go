package installer

import (
	"context"
	"time"

	"golang.org/x/sys/windows/svc"
)

// startHint is how long Windows may expect the agent to take before it is ready.
const startHint = 60 * time.Second

// exitFailed is the code with which a service ends that could not work; with the recovery
// actions it is started again.
const exitFailed = 1

// Serve runs the agent as the Windows service: it answers the service manager, says ready
// when the agent does, and ends run's context when it is told to stop. It asks for no
// proof that the service manager started it, because wrapped starts hide that.
func Serve(ctx context.Context, run func(context.Context, *Notifier) error) error {
	var failed error
	err := svc.Run(Name, handler(func(asked <-chan svc.ChangeRequest, tell chan<- svc.Status) (bool, uint32) {
		if failed = execute(ctx, run, asked, tell); failed != nil {
			return true, exitFailed
		}
		return false, 0
	}))
	if err != nil {
		return err
	}
	return failed
}

// handler is the service as Windows sees it.
type handler func(<-chan svc.ChangeRequest, chan<- svc.Status) (bool, uint32)

// Execute implements svc.Handler.
func (h handler) Execute(_ []string, asked <-chan svc.ChangeRequest, tell chan<- svc.Status) (bool, uint32) {
	return h(asked, tell)
}

// execute is the life of the service.
func execute(ctx context.Context, run func(context.Context, *Notifier) error, asked <-chan svc.ChangeRequest, tell chan<- svc.Status) error {
	tell <- svc.Status{State: svc.StartPending, WaitHint: uint32(startHint.Milliseconds())}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ready, ended := make(chan struct{}, 1), make(chan error, 1)
	go func() {
		ended <- run(ctx, &Notifier{ready: func() { ready <- struct{}{} }})
	}()
	for {
		select {
		case <-ready:
			tell <- svc.Status{State: svc.Running, Accepts: svc.AcceptStop | svc.AcceptShutdown}
		case c := <-asked:
			switch c.Cmd {
			case svc.Interrogate:
				tell <- c.CurrentStatus
			case svc.Stop, svc.Shutdown:
				tell <- svc.Status{State: svc.StopPending, WaitHint: uint32(stopLife.Milliseconds())}
				cancel()
			}
		case err := <-ended:
			return err
		}
	}
}
