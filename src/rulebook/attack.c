/* SPDX-License-Identifier: Apache-2.0 */
#include "rulebook/attack.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include "base/mem.h"

struct row {
	const char *id, *name;
};

/* In the order of a matrix, as people look at it. */
static const struct row tactics[] = {
	{ "TA0043", "Reconnaissance" },      { "TA0042", "Resource Development" },
	{ "TA0001", "Initial Access" },      { "TA0002", "Execution" },
	{ "TA0003", "Persistence" },         { "TA0004", "Privilege Escalation" },
	{ "TA0005", "Defense Evasion" },     { "TA0006", "Credential Access" },
	{ "TA0007", "Discovery" },           { "TA0008", "Lateral Movement" },
	{ "TA0009", "Collection" },          { "TA0010", "Exfiltration" },
	{ "TA0011", "Command and Control" }, { "TA0040", "Impact" },
};

/* In the order of ids: it is searched by halves. */
static const struct row techniques[] = {
	{ "T1001", "Data Obfuscation" },
	{ "T1003", "OS Credential Dumping" },
	{ "T1003.007", "Proc Filesystem" },
	{ "T1003.008", "/etc/passwd and /etc/shadow" },
	{ "T1005", "Data from Local System" },
	{ "T1007", "System Service Discovery" },
	{ "T1008", "Fallback Channels" },
	{ "T1011", "Exfiltration Over Other Network Medium" },
	{ "T1014", "Rootkit" },
	{ "T1016", "System Network Configuration Discovery" },
	{ "T1016.001", "Internet Connection Discovery" },
	{ "T1018", "Remote System Discovery" },
	{ "T1020", "Automated Exfiltration" },
	{ "T1021", "Remote Services" },
	{ "T1021.004", "SSH" },
	{ "T1021.005", "VNC" },
	{ "T1025", "Data from Removable Media" },
	{ "T1027", "Obfuscated Files or Information" },
	{ "T1027.001", "Binary Padding" },
	{ "T1027.002", "Software Packing" },
	{ "T1027.004", "Compile After Delivery" },
	{ "T1029", "Scheduled Transfer" },
	{ "T1030", "Data Transfer Size Limits" },
	{ "T1033", "System Owner/User Discovery" },
	{ "T1036", "Masquerading" },
	{ "T1036.003", "Rename Legitimate Utilities" },
	{ "T1036.004", "Masquerade Task or Service" },
	{ "T1036.005", "Match Legitimate Resource Name or Location" },
	{ "T1036.006", "Space after Filename" },
	{ "T1036.009", "Break Process Trees" },
	{ "T1037", "Boot or Logon Initialization Scripts" },
	{ "T1037.004", "RC Scripts" },
	{ "T1039", "Data from Network Shared Drive" },
	{ "T1040", "Network Sniffing" },
	{ "T1041", "Exfiltration Over C2 Channel" },
	{ "T1046", "Network Service Discovery" },
	{ "T1048", "Exfiltration Over Alternative Protocol" },
	{ "T1048.001", "Exfiltration Over Symmetric Encrypted Non-C2 Protocol" },
	{ "T1048.002", "Exfiltration Over Asymmetric Encrypted Non-C2 Protocol" },
	{ "T1048.003", "Exfiltration Over Unencrypted Non-C2 Protocol" },
	{ "T1049", "System Network Connections Discovery" },
	{ "T1052", "Exfiltration Over Physical Medium" },
	{ "T1052.001", "Exfiltration over USB" },
	{ "T1053", "Scheduled Task/Job" },
	{ "T1053.002", "At" },
	{ "T1053.003", "Cron" },
	{ "T1053.006", "Systemd Timers" },
	{ "T1053.007", "Container Orchestration Job" },
	{ "T1055", "Process Injection" },
	{ "T1055.008", "Ptrace System Calls" },
	{ "T1055.009", "Proc Memory" },
	{ "T1055.014", "VDSO Hijacking" },
	{ "T1056", "Input Capture" },
	{ "T1056.001", "Keylogging" },
	{ "T1057", "Process Discovery" },
	{ "T1059", "Command and Scripting Interpreter" },
	{ "T1059.004", "Unix Shell" },
	{ "T1059.006", "Python" },
	{ "T1059.007", "JavaScript" },
	{ "T1059.011", "Lua" },
	{ "T1068", "Exploitation for Privilege Escalation" },
	{ "T1069", "Permission Groups Discovery" },
	{ "T1069.001", "Local Groups" },
	{ "T1069.002", "Domain Groups" },
	{ "T1070", "Indicator Removal" },
	{ "T1070.002", "Clear Linux or Mac System Logs" },
	{ "T1070.003", "Clear Command History" },
	{ "T1070.004", "File Deletion" },
	{ "T1070.006", "Timestomp" },
	{ "T1070.007", "Clear Network Connection History and Configurations" },
	{ "T1071", "Application Layer Protocol" },
	{ "T1071.001", "Web Protocols" },
	{ "T1071.002", "File Transfer Protocols" },
	{ "T1071.003", "Mail Protocols" },
	{ "T1071.004", "DNS" },
	{ "T1072", "Software Deployment Tools" },
	{ "T1074", "Data Staged" },
	{ "T1074.001", "Local Data Staging" },
	{ "T1074.002", "Remote Data Staging" },
	{ "T1078", "Valid Accounts" },
	{ "T1078.001", "Default Accounts" },
	{ "T1078.002", "Domain Accounts" },
	{ "T1078.003", "Local Accounts" },
	{ "T1082", "System Information Discovery" },
	{ "T1083", "File and Directory Discovery" },
	{ "T1087", "Account Discovery" },
	{ "T1087.001", "Local Account" },
	{ "T1087.002", "Domain Account" },
	{ "T1090", "Proxy" },
	{ "T1090.001", "Internal Proxy" },
	{ "T1090.002", "External Proxy" },
	{ "T1090.003", "Multi-hop Proxy" },
	{ "T1091", "Replication Through Removable Media" },
	{ "T1092", "Communication Through Removable Media" },
	{ "T1095", "Non-Application Layer Protocol" },
	{ "T1098", "Account Manipulation" },
	{ "T1098.004", "SSH Authorized Keys" },
	{ "T1098.007", "Additional Local or Domain Groups" },
	{ "T1102", "Web Service" },
	{ "T1102.001", "Dead Drop Resolver" },
	{ "T1102.002", "Bidirectional Communication" },
	{ "T1102.003", "One-Way Communication" },
	{ "T1104", "Multi-Stage Channels" },
	{ "T1105", "Ingress Tool Transfer" },
	{ "T1106", "Native API" },
	{ "T1110", "Brute Force" },
	{ "T1110.001", "Password Guessing" },
	{ "T1110.002", "Password Cracking" },
	{ "T1110.003", "Password Spraying" },
	{ "T1110.004", "Credential Stuffing" },
	{ "T1111", "Multi-Factor Authentication Interception" },
	{ "T1113", "Screen Capture" },
	{ "T1115", "Clipboard Data" },
	{ "T1119", "Automated Collection" },
	{ "T1120", "Peripheral Device Discovery" },
	{ "T1123", "Audio Capture" },
	{ "T1124", "System Time Discovery" },
	{ "T1125", "Video Capture" },
	{ "T1129", "Shared Modules" },
	{ "T1132", "Data Encoding" },
	{ "T1132.001", "Standard Encoding" },
	{ "T1133", "External Remote Services" },
	{ "T1135", "Network Share Discovery" },
	{ "T1136", "Create Account" },
	{ "T1136.001", "Local Account" },
	{ "T1136.002", "Domain Account" },
	{ "T1140", "Deobfuscate/Decode Files or Information" },
	{ "T1176", "Software Extensions" },
	{ "T1185", "Browser Session Hijacking" },
	{ "T1189", "Drive-by Compromise" },
	{ "T1190", "Exploit Public-Facing Application" },
	{ "T1195", "Supply Chain Compromise" },
	{ "T1195.001", "Compromise Software Dependencies and Development Tools" },
	{ "T1195.002", "Compromise Software Supply Chain" },
	{ "T1199", "Trusted Relationship" },
	{ "T1201", "Password Policy Discovery" },
	{ "T1202", "Indirect Command Execution" },
	{ "T1203", "Exploitation for Client Execution" },
	{ "T1204", "User Execution" },
	{ "T1204.001", "Malicious Link" },
	{ "T1204.002", "Malicious File" },
	{ "T1205", "Traffic Signaling" },
	{ "T1205.001", "Port Knocking" },
	{ "T1205.002", "Socket Filters" },
	{ "T1210", "Exploitation of Remote Services" },
	{ "T1211", "Exploitation for Defense Evasion" },
	{ "T1212", "Exploitation for Credential Access" },
	{ "T1217", "Browser Information Discovery" },
	{ "T1218", "System Binary Proxy Execution" },
	{ "T1219", "Remote Access Tools" },
	{ "T1221", "Template Injection" },
	{ "T1222", "File and Directory Permissions Modification" },
	{ "T1222.002", "Linux and Mac File and Directory Permissions Modification" },
	{ "T1480", "Execution Guardrails" },
	{ "T1482", "Domain Trust Discovery" },
	{ "T1485", "Data Destruction" },
	{ "T1486", "Data Encrypted for Impact" },
	{ "T1489", "Service Stop" },
	{ "T1490", "Inhibit System Recovery" },
	{ "T1491", "Defacement" },
	{ "T1495", "Firmware Corruption" },
	{ "T1496", "Resource Hijacking" },
	{ "T1496.001", "Compute Hijacking" },
	{ "T1497", "Virtualization/Sandbox Evasion" },
	{ "T1497.001", "System Checks" },
	{ "T1497.003", "Time Based Checks" },
	{ "T1498", "Network Denial of Service" },
	{ "T1499", "Endpoint Denial of Service" },
	{ "T1505", "Server Software Component" },
	{ "T1505.003", "Web Shell" },
	{ "T1518", "Software Discovery" },
	{ "T1518.001", "Security Software Discovery" },
	{ "T1528", "Steal Application Access Token" },
	{ "T1529", "System Shutdown/Reboot" },
	{ "T1531", "Account Access Removal" },
	{ "T1538", "Cloud Service Dashboard" },
	{ "T1539", "Steal Web Session Cookie" },
	{ "T1542", "Pre-OS Boot" },
	{ "T1542.003", "Bootkit" },
	{ "T1543", "Create or Modify System Process" },
	{ "T1543.002", "Systemd Service" },
	{ "T1543.005", "Container Service" },
	{ "T1546", "Event Triggered Execution" },
	{ "T1546.004", "Unix Shell Configuration Modification" },
	{ "T1546.005", "Trap" },
	{ "T1546.016", "Installer Packages" },
	{ "T1546.017", "Udev Rules" },
	{ "T1547", "Boot or Logon Autostart Execution" },
	{ "T1547.006", "Kernel Modules and Extensions" },
	{ "T1547.013", "XDG Autostart Entries" },
	{ "T1548", "Abuse Elevation Control Mechanism" },
	{ "T1548.001", "Setuid and Setgid" },
	{ "T1548.003", "Sudo and Sudo Caching" },
	{ "T1550", "Use Alternate Authentication Material" },
	{ "T1552", "Unsecured Credentials" },
	{ "T1552.001", "Credentials In Files" },
	{ "T1552.003", "Shell History" },
	{ "T1552.004", "Private Keys" },
	{ "T1552.005", "Cloud Instance Metadata API" },
	{ "T1552.007", "Container API" },
	{ "T1553", "Subvert Trust Controls" },
	{ "T1553.004", "Install Root Certificate" },
	{ "T1554", "Compromise Host Software Binary" },
	{ "T1555", "Credentials from Password Stores" },
	{ "T1555.003", "Credentials from Web Browsers" },
	{ "T1555.005", "Password Managers" },
	{ "T1556", "Modify Authentication Process" },
	{ "T1556.003", "Pluggable Authentication Modules" },
	{ "T1557", "Adversary-in-the-Middle" },
	{ "T1557.002", "ARP Cache Poisoning" },
	{ "T1558", "Steal or Forge Kerberos Tickets" },
	{ "T1558.005", "Ccache Files" },
	{ "T1559", "Inter-Process Communication" },
	{ "T1560", "Archive Collected Data" },
	{ "T1560.001", "Archive via Utility" },
	{ "T1560.002", "Archive via Library" },
	{ "T1560.003", "Archive via Custom Method" },
	{ "T1561", "Disk Wipe" },
	{ "T1561.001", "Disk Content Wipe" },
	{ "T1561.002", "Disk Structure Wipe" },
	{ "T1562", "Impair Defenses" },
	{ "T1562.001", "Disable or Modify Tools" },
	{ "T1562.003", "Impair Command History Logging" },
	{ "T1562.004", "Disable or Modify System Firewall" },
	{ "T1562.006", "Indicator Blocking" },
	{ "T1562.008", "Disable or Modify Cloud Logs" },
	{ "T1562.012", "Disable or Modify Linux Audit System" },
	{ "T1563", "Remote Service Session Hijacking" },
	{ "T1563.001", "SSH Hijacking" },
	{ "T1564", "Hide Artifacts" },
	{ "T1564.001", "Hidden Files and Directories" },
	{ "T1564.002", "Hidden Users" },
	{ "T1564.005", "Hidden File System" },
	{ "T1564.011", "Ignore Process Interrupts" },
	{ "T1565", "Data Manipulation" },
	{ "T1565.001", "Stored Data Manipulation" },
	{ "T1566", "Phishing" },
	{ "T1567", "Exfiltration Over Web Service" },
	{ "T1567.001", "Exfiltration to Code Repository" },
	{ "T1567.002", "Exfiltration to Cloud Storage" },
	{ "T1568", "Dynamic Resolution" },
	{ "T1569", "System Services" },
	{ "T1569.002", "Service Execution" },
	{ "T1570", "Lateral Tool Transfer" },
	{ "T1571", "Non-Standard Port" },
	{ "T1572", "Protocol Tunneling" },
	{ "T1573", "Encrypted Channel" },
	{ "T1573.001", "Symmetric Cryptography" },
	{ "T1573.002", "Asymmetric Cryptography" },
	{ "T1574", "Hijack Execution Flow" },
	{ "T1574.006", "Dynamic Linker Hijacking" },
	{ "T1574.007", "Path Interception by PATH Environment Variable" },
	{ "T1580", "Cloud Infrastructure Discovery" },
	{ "T1587", "Develop Capabilities" },
	{ "T1588", "Obtain Capabilities" },
	{ "T1589", "Gather Victim Identity Information" },
	{ "T1590", "Gather Victim Network Information" },
	{ "T1592", "Gather Victim Host Information" },
	{ "T1595", "Active Scanning" },
	{ "T1595.001", "Scanning IP Blocks" },
	{ "T1595.002", "Vulnerability Scanning" },
	{ "T1601", "Modify System Image" },
	{ "T1608", "Stage Capabilities" },
	{ "T1609", "Container Administration Command" },
	{ "T1610", "Deploy Container" },
	{ "T1611", "Escape to Host" },
	{ "T1612", "Build Image on Host" },
	{ "T1613", "Container and Resource Discovery" },
	{ "T1614", "System Location Discovery" },
	{ "T1614.001", "System Language Discovery" },
	{ "T1615", "Group Policy Discovery" },
	{ "T1620", "Reflective Code Loading" },
	{ "T1622", "Debugger Evasion" },
	{ "T1649", "Steal or Forge Authentication Certificates" },
	{ "T1652", "Device Driver Discovery" },
	{ "T1653", "Power Settings" },
	{ "T1654", "Log Enumeration" },
	{ "T1657", "Financial Theft" },
	{ "T1665", "Hide Infrastructure" },
	{ "T1669", "Wi-Fi Networks" },
};

const char *attack_tactic_name(const char *id)
{
	for (size_t i = 0; i < countof(tactics); i++)
		if (!strcmp(tactics[i].id, id))
			return tactics[i].name;
	return NULL;
}

static int by_id(const void *key, const void *row)
{
	return strcmp(key, ((const struct row *)row)->id);
}

const char *attack_technique_name(const char *id)
{
	const struct row *row = bsearch(id, techniques, countof(techniques), sizeof(*techniques), by_id);

	return row ? row->name : NULL;
}

/* "Command and Control" is written command-and-control, or with underscores. */
const char *attack_tactic_id(const char *name, size_t n)
{
	for (size_t i = 0; i < countof(tactics); i++) {
		const char *full = tactics[i].name;
		size_t k = 0;

		while (k < n && full[k] &&
		       (full[k] == ' ' ? name[k] == '-' || name[k] == '_' || name[k] == ' '
				       : tolower(name[k]) == tolower(full[k])))
			k++;
		if (k == n && !full[k])
			return tactics[i].id;
	}
	return NULL;
}

static bool has_digits(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] < '0' || p[i] > '9')
			return false;
	return true;
}

bool attack_is_tactic(const char *id)
{
	return strlen(id) == 6 && id[0] == 'T' && id[1] == 'A' && has_digits(id + 2, 4);
}

bool attack_is_technique(const char *id)
{
	size_t n = strlen(id);

	if ((n != 5 && n != 9) || id[0] != 'T' || !has_digits(id + 1, 4))
		return false;
	return n == 5 || (id[5] == '.' && has_digits(id + 6, 3));
}
