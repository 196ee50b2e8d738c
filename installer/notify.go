package installer

import (
	"context"
	"net"
	"os"
	"strconv"
	"sync"
	"time"
)

// A Notifier tells the service manager how the agent is: sd_notify(3) where systemd gave
// a socket, the service's status on Windows. The zero value tells nobody. Its methods may
// be called by any goroutine.
type Notifier struct {
	conn  net.Conn
	every time.Duration // between two signs of life; 0: nobody waits for any
	ready func()        // instead of the socket

	mu   sync.Mutex
	last time.Time
}

// Notify returns the Notifier of this process. The caller closes it.
func Notify() *Notifier {
	n := &Notifier{}
	if path := os.Getenv("NOTIFY_SOCKET"); path != "" {
		if c, err := net.Dial("unixgram", path); err == nil { // "@" is an abstract address to Go as well
			n.conn = c
		}
	}
	usec, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	pid := os.Getenv("WATCHDOG_PID")
	if err == nil && usec > 0 && (pid == "" || pid == strconv.Itoa(os.Getpid())) {
		n.every = time.Duration(usec) * time.Microsecond / 4 // systemd advises half; a busy machine may lose one
	}
	return n
}

// Ready says that the agent has opened everything and serves.
func (n *Notifier) Ready() {
	if n.ready != nil {
		n.ready()
	}
	n.send("READY=1\nSTATUS=serving")
}

// Alive is a sign of life. It may be called as often as one likes.
func (n *Notifier) Alive() {
	n.mu.Lock()
	due := n.every > 0 && time.Since(n.last) >= n.every
	if due {
		n.last = time.Now()
	}
	n.mu.Unlock()
	if due {
		n.send("WATCHDOG=1")
	}
}

// Stopping says that the agent ends.
func (n *Notifier) Stopping() { n.send("STOPPING=1") }

// Close gives the socket back.
func (n *Notifier) Close() {
	if n.conn != nil {
		_ = n.conn.Close()
	}
}

func (n *Notifier) send(text string) {
	if n.conn != nil {
		_, _ = n.conn.Write([]byte(text)) // a service manager that hears nothing starts us again
	}
}

// ServeHere runs the agent in this process, and tells systemd how it is where systemd
// started it. Whoever cancels ctx ends it.
func ServeHere(ctx context.Context, run func(context.Context, *Notifier) error) error {
	n := Notify()
	defer n.Close()
	defer context.AfterFunc(ctx, n.Stopping)()
	return run(ctx, n)
}
