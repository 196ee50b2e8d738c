package testenv

import "testing"

func TestAPortIsGivenToOneTestAtATime(t *testing.T) {
	port, release, err := freePort(lowestPort, highestPort)
	if err != nil {
		t.Fatal(err)
	}
	only := uint32(port)
	if again, _, err := freePort(only, only+1); err == nil {
		t.Errorf("%d is given to two", again)
	}
	release()
	if _, release, err = freePort(only, only+1); err != nil {
		t.Fatalf("it is not given back: %v", err)
	}
	release()
}
