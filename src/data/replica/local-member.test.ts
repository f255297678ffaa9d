import { describeMember } from '#data/member/member.testkit.ts';
import { openLocalWorld } from './member-world.testkit.ts';

describeMember('LocalMember over the memory store', () => openLocalWorld());
