import { describeMember } from '#data/member/member.testkit.ts';
import { openFileWorld } from './member-world.testkit.ts';

describeMember('LocalMember over the file store', () => openFileWorld('local'));
describeMember('RemoteMember to the file store of another machine', () => openFileWorld('remote'));
