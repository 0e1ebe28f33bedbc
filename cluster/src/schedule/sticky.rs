//! The same worker for the same client.

use std::net::{IpAddr, SocketAddr};

use super::{Arrival, Candidate, Schedule};

/// Gives all connections of a client, which is an IP address, to one worker as long as that
/// worker is there. For sessions in a worker's memory, as Socket.IO's long polling has them.
///
/// When a worker goes only its clients move, and when another comes in its place they move to
/// that one. A client over a Unix socket has no address, and gets whose turn it is. Behind a
/// proxy all clients are one.
#[derive(Clone, Debug, Default)]
pub struct Sticky {
    /// The worker of each place. Clients belong to places, so that a worker which comes in place
    /// of another has its clients; 0 while there is none.
    places: Vec<u32>,
    /// The workers when the places were last given.
    seated: Vec<u32>,
}

impl Sticky {
    /// The rule.
    pub fn new() -> Self {
        Self::default()
    }

    fn seat(&mut self, workers: &[Candidate]) {
        if workers.iter().map(|one| one.id).eq(self.seated.iter().copied()) {
            return;
        }
        self.seated = workers.iter().map(|one| one.id).collect();
        let is_there = |id: u32| workers.binary_search_by_key(&id, |one| one.id).is_ok();
        for place in &mut self.places {
            if !is_there(*place) {
                *place = 0;
            }
        }
        for worker in workers {
            if self.places.contains(&worker.id) {
                continue;
            }
            match self.places.iter_mut().find(|place| **place == 0) {
                Some(place) => *place = worker.id,
                None => self.places.push(worker.id),
            }
        }
        while self.places.last() == Some(&0) {
            self.places.pop();
        }
    }
}

impl Schedule for Sticky {
    fn choose(&mut self, arrival: &Arrival<'_>, workers: &[Candidate]) -> Option<u32> {
        let client = number(arrival.peer?);
        self.seat(workers);
        let taken = self.places.iter().enumerate().filter(|(_, worker)| **worker != 0);
        // Each client ranks the places, and has the first of its list that is taken.
        let (_, &worker) = taken.max_by_key(|&(place, _)| mix(client ^ mix(place as u64)))?;
        Some(worker)
    }
}

/// The client as a number: IPv4 is the same inside IPv6.
fn number(peer: SocketAddr) -> u64 {
    match peer.ip().to_canonical() {
        IpAddr::V4(ip) => mix(u64::from(ip.to_bits())),
        IpAddr::V6(ip) => mix(mix((ip.to_bits() >> 64) as u64) ^ ip.to_bits() as u64),
    }
}

/// A number that looks like any other (the last step of SplitMix64).
fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{
        collections::{BTreeMap, BTreeSet},
        net::Ipv6Addr,
    };
    use worker_api::Address;

    const CLIENTS: u32 = 2000;

    fn candidates(workers: impl IntoIterator<Item = u32>) -> Vec<Candidate> {
        workers.into_iter().map(|id| Candidate::new(id, 1, 0)).collect()
    }

    fn choose(rule: &mut Sticky, ip: impl Into<IpAddr>, workers: &[Candidate]) -> u32 {
        let listener = Address::Port(80);
        let peer = SocketAddr::new(ip.into(), (rule.places.len() * 77) as u16); // of any port
        rule.choose(&Arrival::new(&listener, Some(peer)), workers).unwrap()
    }

    fn all(rule: &mut Sticky, workers: &[Candidate]) -> Vec<u32> {
        (0..CLIENTS).map(|client| choose(rule, (client << 3).to_be_bytes(), workers)).collect()
    }

    fn moved(before: &[u32], after: &[u32]) -> BTreeMap<u32, usize> {
        let mut moved = BTreeMap::new();
        for (before, _) in before.iter().zip(after).filter(|(before, after)| before != after) {
            *moved.entry(*before).or_default() += 1;
        }
        moved
    }

    #[test]
    fn clients_spread_evenly() {
        for count in [2u32, 4, 16] {
            let chosen = all(&mut Sticky::new(), &candidates(1..=count));
            for worker in 1..=count {
                let has = chosen.iter().filter(|one| **one == worker).count() as f64;
                let share = has / f64::from(CLIENTS) * f64::from(count);
                assert!(
                    (0.7..1.3).contains(&share),
                    "{worker} of {count} has {share} of its share"
                );
            }
        }
    }

    #[test]
    fn a_replacement_has_the_clients_of_the_worker_that_went() {
        let mut rule = Sticky::new();
        let before = all(&mut rule, &candidates(1..=4));
        let without = all(&mut rule, &candidates([1, 3, 4]));
        assert_eq!(moved(&before, &without).into_keys().collect::<Vec<_>>(), [2]);
        let after = all(&mut rule, &candidates([1, 3, 4, 9]));
        let renamed: Vec<_> = before.iter().map(|&one| if one == 2 { 9 } else { one }).collect();
        assert_eq!(after, renamed);
    }

    #[test]
    fn a_client_is_its_address_however_it_is_written() {
        let (mut rule, workers) = (Sticky::new(), candidates(1..=16));
        for client in 0..100u32 {
            let v4 = std::net::Ipv4Addr::from(client);
            let mapped: Ipv6Addr = v4.to_ipv6_mapped();
            assert_eq!(choose(&mut rule, v4, &workers), choose(&mut rule, mapped, &workers));
        }
        let listener = Address::Port(80);
        assert_eq!(rule.choose(&Arrival::new(&listener, None), &workers), None);
    }

    proptest! {
        /// Whoever comes and goes, a client moves only if its worker went, or to one that came.
        #[test]
        fn nobody_moves_without_need(
            sets in prop::collection::vec(prop::collection::btree_set(1..12u32, 1..8), 1..12),
            clients in prop::collection::vec(any::<u128>(), 1..20),
        ) {
            let mut rule = Sticky::new();
            let mut former: Option<(BTreeSet<u32>, Vec<u32>)> = None;
            for set in sets {
                let workers = candidates(set.iter().copied());
                let chosen: Vec<_> = clients
                    .iter()
                    .map(|&client| choose(&mut rule, Ipv6Addr::from_bits(client), &workers))
                    .collect();
                prop_assert!(chosen.iter().all(|worker| set.contains(worker)));
                prop_assert!(rule.places.len() <= 12);
                if let Some((before, had)) = former {
                    for (had, has) in had.iter().zip(&chosen) {
                        let stays = had == has || !set.contains(had) || !before.contains(has);
                        prop_assert!(stays, "from {had} to {has}: {before:?} to {set:?}");
                    }
                }
                former = Some((set, chosen));
            }
        }
    }
}
