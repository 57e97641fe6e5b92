/** Addresses of the public internet, and all others. */
import ipaddr from "ipaddr.js";

/** All that IPv6 has for the public internet. */
const GLOBAL_IPV6 = ipaddr.parseCIDR("2000::/3") as [ipaddr.IPv6, number];

/**
 * True for an address that anybody could reach: unicast, and in none of the registries' special ranges. So it is false
 * for private, loopback, link-local, shared (CGNAT), documentation and multicast addresses, and for IPv6 addresses that
 * have an IPv4 address in them (mapped, NAT64, 6to4, Teredo), whose range does not tell where they lead.
 *
 * @param address  four decimals, or IPv6 without brackets
 */
export function isPublicAddress(address: string): boolean {
  if (!ipaddr.isValid(address)) return false;
  const parsed = ipaddr.parse(address);
  if (parsed.range() !== "unicast") return false;
  // What the registries have not given away counts as unicast too; in IPv6 that is most of it.
  return parsed.kind() === "ipv4" || (parsed as ipaddr.IPv6).match(GLOBAL_IPV6);
}
