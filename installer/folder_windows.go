package installer

import (
	"fmt"
	"strings"

	"golang.org/x/sys/windows"
)

// own gives a folder and all in it to the system, administrators and the service's account
// alone: what protects the agent's keys, since a key sealed for the machine opens to all
// who can read it there.
func own(dir, account string) Step {
	return Step{
		Does: "let nobody into " + dir + " but administrators, the system and " + account,
		Do: func() error {
			sid, err := sidOf(account)
			if err != nil {
				return fmt.Errorf("account %s: %w", account, err)
			}
			return protect(dir, sid)
		},
	}
}

// sidOf is the SID of an account, in text.
func sidOf(account string) (string, error) {
	if name, ok := strings.CutPrefix(account, `NT SERVICE\`); ok {
		return serviceSID(name), nil
	}
	sid, _, _, err := windows.LookupSID("", account)
	if err != nil {
		return "", err
	}
	return sid.String(), nil
}

// protect sets the access list: full for system and administrators, modify for the
// service, inherited by everything below and not from above.
func protect(dir, sid string) error {
	sd, err := windows.SecurityDescriptorFromString("D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1301bf;;;" + sid + ")")
	if err != nil {
		return err
	}
	dacl, _, err := sd.DACL()
	if err != nil {
		return err
	}
	return windows.SetNamedSecurityInfo(dir, windows.SE_FILE_OBJECT,
		windows.DACL_SECURITY_INFORMATION|windows.PROTECTED_DACL_SECURITY_INFORMATION, nil, nil, dacl, nil)
}

// Excess says what rights this process has beyond what an agent needs, or nothing.
func Excess() string {
	token := windows.GetCurrentProcessToken()
	user, err := token.GetTokenUser()
	if err != nil {
		return ""
	}
	if user.User.Sid.IsWellKnown(windows.WinLocalSystemSid) {
		return "it runs as LocalSystem, and needs none of its rights"
	}
	admins, err := windows.CreateWellKnownSid(windows.WinBuiltinAdministratorsSid)
	if err != nil {
		return ""
	}
	if member, err := windows.Token(0).IsMember(admins); err == nil && member {
		return "it runs as an administrator, and needs none of the rights of one"
	}
	return ""
}
