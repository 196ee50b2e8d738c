#!/usr/bin/python3
"""Fills a freshly provisioned Samba AD DC with the company that tests know.

Usage: samba_seed.py DIR PASSWORDS, where DIR holds etc/smb.conf and
private/sam.ldb and PASSWORDS is {"employee": ..., "service": ...} as JSON.
Works on the database itself, so the server may run or not.
"""
import json
import sys

import ldb
from samba.auth import system_session
from samba.dcerpc import security
from samba.ndr import ndr_pack, ndr_unpack
from samba.param import LoadParm
from samba.samdb import SamDB

HUNDRED_NS = 10 ** 7
ENABLED, DISABLED = "512", "514"
USER_CLASS = "bf967aba-0de6-11d0-a285-00aa003049e2"
RESET_PASSWORD = "00299570-246d-11d0-a768-00aa006e0529"
LOCKOUT_TIME = "28630ebf-41d5-11d1-a9c1-0000f80367c1"
PWD_LAST_SET = "bf967a0a-0de6-11d0-a285-00aa003049e2"


class Company:
    """Writes people, groups and rights into one domain."""

    def __init__(self, directory, passwords):
        lp = LoadParm()
        lp.load(directory + "/etc/smb.conf")
        self.db = SamDB(url=directory + "/private/sam.ldb", lp=lp, session_info=system_session(lp))
        self.base = str(self.db.domain_dn())
        self.passwords = passwords
        self.staff = "OU=Staff," + self.base
        self.partners = "OU=Partners," + self.base
        self.services = "OU=Services," + self.base

    def modify(self, dn, flag, values, controls=()):
        m = ldb.Message(ldb.Dn(self.db, dn))
        for k, v in values.items():
            m[k] = ldb.MessageElement(v, flag, k)
        self.db.modify(m, list(controls))

    def policy(self):
        minutes = str(-30 * 60 * HUNDRED_NS)
        self.modify(self.base, ldb.FLAG_MOD_REPLACE, {
            "minPwdLength": "10", "pwdHistoryLength": "5", "minPwdAge": "0", "lockoutThreshold": "3",
            "lockoutDuration": minutes, "lockOutObservationWindow": minutes,
        })

    def person(self, login, ou, name, password="employee", uac=ENABLED, **more):
        dn = ldb.Dn(self.db, "CN=x," + ou)
        dn.set_component(0, "CN", name)
        entry = {
            "dn": dn, "objectClass": "user", "sAMAccountName": login,
            "userPrincipalName": login + "@corp.example", "displayName": name, "userAccountControl": uac,
            "unicodePwd": ('"%s"' % self.passwords[password]).encode("utf-16-le"),
        }
        entry.update(more)
        self.db.add(entry)
        return str(dn)

    def group(self, name, ou, *members, login=None):
        dn = "CN=%s,%s" % (name, ou)
        entry = {"dn": dn, "objectClass": "group", "sAMAccountName": login or name}
        if members:
            entry["member"] = list(members)
        self.db.add(entry)
        return dn

    def employees(self):
        chief = self.person("chief", self.staff, "Carla Chief", mail="chief@corp.example")
        anna = self.person(
            "anna.berg", self.staff, "Anna Berg", mail="Anna.Berg@corp.example", otherMailbox="anna@home.example",
            proxyAddresses=["SMTP:anna.berg@corp.example", "smtp:a.berg@corp.example", "X500:/o=corp/cn=anna"],
            mobile="+15550100", employeeNumber="1984-02-29", manager=chief, preferredLanguage="de-DE")
        juergen = self.person(
            "juergen", self.staff, "Müller, Jürgen \"JJ\" <Ops> + Łukasz 漢字 #1", mail="jürgen@corp.example",
            otherMailbox="jürgen@home.example")
        fritz = self.person("fritz", self.staff, "Fritz Finance", mail="fritz@corp.example", otherMailbox="fritz@home.example")
        self.person("dora", self.staff, "Dora Disabled", uac=DISABLED, mail="dora@corp.example")
        self.person("vera", self.partners, "Vera Vendor", mail="vera@corp.example")
        for i in range(1, 6):
            self.person("emp%03d" % i, self.staff, "Employee %03d" % i, mail="emp%03d@corp.example" % i,
                        otherMailbox="emp%03d@home.example" % i)
        everyone = self.group("Staff-All", self.staff, anna, juergen, fritz)
        self.group("Staff-Outer", self.staff, everyone)
        self.group("Gruppe (Größe*)", self.staff, juergen, login="Groesse")
        self.stricter_policy(self.group("Finance", self.staff, fritz))
        return chief

    def stricter_policy(self, group):
        minutes = str(-30 * 60 * HUNDRED_NS)
        self.db.add({
            "dn": "CN=Long passwords,CN=Password Settings Container,CN=System," + self.base,
            "objectClass": "msDS-PasswordSettings", "msDS-PasswordSettingsPrecedence": "10",
            "msDS-MinimumPasswordLength": "24", "msDS-PasswordComplexityEnabled": "TRUE",
            "msDS-PasswordReversibleEncryptionEnabled": "FALSE", "msDS-PasswordHistoryLength": "5",
            "msDS-MinimumPasswordAge": "0", "msDS-MaximumPasswordAge": str(-42 * 86400 * HUNDRED_NS),
            "msDS-LockoutThreshold": "3", "msDS-LockoutDuration": minutes,
            "msDS-LockoutObservationWindow": minutes, "msDS-PSOAppliesTo": group,
        })

    def administrators(self, chief):
        """Privileged in every way that there is, with group names in another language."""
        admins = "CN=Domain Admins,CN=Users," + self.base
        renamed = "CN=Domänen-Admins,CN=Users," + self.base
        self.db.rename(admins, renamed)
        self.modify(renamed, ldb.FLAG_MOD_REPLACE, {"sAMAccountName": "Domänen-Admins"})
        deputy = self.person("deputy", self.staff, "Denis Deputy")
        primary = self.person("primus", self.staff, "Primus Primary")
        tier0 = self.group("Tier0", self.staff, deputy)
        outer = self.group("Tier0-Outer", self.staff, tier0)
        self.modify(renamed, ldb.FLAG_MOD_ADD, {"member": [chief, outer, primary]})
        self.modify(primary, ldb.FLAG_MOD_REPLACE, {"primaryGroupID": "512"})  # takes it out of "member"
        operator = self.person("opera", self.staff, "Opera Operator")
        self.modify("CN=Account Operators,CN=Builtin," + self.base, ldb.FLAG_MOD_ADD, {"member": [operator]})
        self.person("keeper", self.staff, "Konrad Keeper", adminCount="1")

    def grant(self, dn, *aces):
        domain = security.dom_sid(self.db.get_domain_sid())
        entry = self.db.search(dn, ldb.SCOPE_BASE, attrs=["nTSecurityDescriptor"], controls=["show_deleted:1", "sd_flags:1:15"])[0]
        sd = ndr_unpack(security.descriptor, entry["nTSecurityDescriptor"][0])
        for ace in aces:
            sd.dacl_add(security.descriptor.from_sddl("D:" + ace, domain).dacl.aces[0])
        self.modify(dn, ldb.FLAG_MOD_REPLACE, {"nTSecurityDescriptor": ndr_pack(sd)}, ["show_deleted:1", "sd_flags:1:4"])

    def service_account(self):
        dn = self.person("svc-recovery", self.services, "svc-recovery", password="service")
        entry = self.db.search(dn, ldb.SCOPE_BASE, attrs=["objectSid"])[0]
        sid = str(ndr_unpack(security.dom_sid, entry["objectSid"][0]))
        self.grant(self.staff,
                   "(OA;CIIO;CR;%s;%s;%s)" % (RESET_PASSWORD, USER_CLASS, sid),
                   "(OA;CIIO;WP;%s;%s;%s)" % (LOCKOUT_TIME, USER_CLASS, sid),
                   "(OA;CIIO;WP;%s;%s;%s)" % (PWD_LAST_SET, USER_CLASS, sid))
        self.grant("CN=Password Settings Container,CN=System," + self.base, "(A;CI;RPLCLORC;;;%s)" % sid)
        self.grant("CN=Deleted Objects," + self.base, "(A;CI;LCRPLO;;;%s)" % sid)


def main():
    company = Company(sys.argv[1], json.loads(sys.argv[2]))
    company.policy()
    company.db.transaction_start()
    for ou in (company.staff, company.partners, company.services):
        company.db.add({"dn": ou, "objectClass": "organizationalUnit"})
    company.administrators(company.employees())
    company.db.transaction_commit()
    company.service_account()


main()
