"""What English looks like: which letters follow which, and its commonest words. Data only.

Counted over prose of three kinds in equal shares: answers about made-up people (TOFU), biographies and short stories
(LUME), and the Python language reference. Accents were taken off before.
"""

from __future__ import annotations

_COMMON_WORDS = """
a about all an and any are as at be been but by can could do for from had has have he her his how i if in into is
it its may more my new no not of on one only or other out said she so some such than that the their them then
there these they this time to two was we were what when which who will with would you
"""

COMMON_WORDS = frozenset(_COMMON_WORDS.split())

_FOLLOWERS = """
__:abcdefghijklmnoprstuvwy _a:_bcdfgilmnprstuvwz _b:_aeiloruy _c:_aehiloruy _d:_aeioruy _e:_acdfiklmnpqrstuvxy
_f:_aeiloru _g:_aehiloru _h:aeiou _i:_dflmnrstv _j:_aeioru _k:_aehinoruwy _l:aegiosuy _m:_aceioruy _n:_adegiou
_o:_bcfklmnprtuvw _p:_adehilorsuy _q:_aiu _r:_aehiosuy _s:_acehiklmoptuy _t:aehioruwy _u:_klnprst _v:_aeiot _w:aehior
_x:_aiosux _y:_aeiou _z:_aefhiosu aa:_bcdgklmnprst ab:_abcdeilorsuy ac:acehikloqrty ad:_adehilmorsuvwyz
ae:_dgjklmnorstvxz af:_aefgiorsty ag:_aeghilmnorsuw ah:_adefilmnoru ai:_cdgjlmnrst aj:_aceiou ak:_aehiloprstuy
al:_abcdegiklmostuvwy am:_abeimopsu an:_acdegiknostuy ao:_bghjklnrstuxyz ap:_aehiloprst aq:_ahiu ar:_abcdegiklmnorstvy
as:_acehikmopsty at:_acehilorstu au:_cdglmnprst av:aeiorty aw:_aeiklnrsty ax:_eioswy ay:_abeilmnostuw az:_aeiosuyz
ba:_bcdeghiklmnorstuyz bb:_aceilory bc:_clms bd:_abesu be:_acdefghilnrsty bh:_aepu bi:_abcdeghlnorst bj:_e bk:_is
bl:aeiouy bm:_aeio bn:_efio bo:_abdlnorstuvwxy bp:akn br:aceiouy bs:_ceiotu bt:_aelqry bu:cdefgilmnrstz bw:ae by:_prt
ca:_bcdgilmnprstu cb:cdln cc:_aeiloru cd:_aceimo ce:_abdeilmnprs cg:_eir ch:_abeimnorsu ci:adefilmnoprstv
ck:_adeghilnoqstwy cl:aeiosu cm:_deiop cn:ainpru co:_bdefglmnoprstuv cp:_cly cq:u cr:aeiouy cs:_istu ct:_aeilorsu
cu:blmnprst cy:_abcnprt cz:aekuy da:_bdfgilmnprstuvwy db:_aemorsu dc:_ahlou dd:_eilorsy de:_abcdefghlmnoprstvwx
df:_ailoru dg:aeimr dh:_aeioru di:_abcdefglmnorstv dj:_aiosu dk:ahi dl:_aeioy dm:_aeiosy dn:_aeit
do:_bcdegilmnoprstuvwxz dp:ahjlmor dq:u dr:_aeiou ds:_chmot dt:_ahiruv du:_abceglmnoprst dv:adeio dw:aeio dy:_agiklnst
dz:eim ea:_cdgklmnrstuv eb:_abeiorsuy ec:_aehiklortu ed:_adegiosuw ee:_cdklmnprstvz ef:_aefiloprtu eg:_aegiloruy
eh:_aeilor ei:_cdfgjlnprstvz ej:_aeiou ek:_aceilostwy el:_abcdefilmopstvy em:_abeimopsuy en:_acdefginorstuvy
eo:_bcdfglnprstu ep:_aehiloprstu eq:_u er:_acefgilmnoprstvwy es:_bcehiopstu et:_acehinorstuwyz eu:_bcdegkmnprstv
ev:_aegio ew:_acehilopsu ex:_acehipt ey:_abenosw ez:_adegsz fa:_bceiklmnrstuvy fb:abei fc:_ao fd:aeio
fe:_abcdeilmnrstw ff:_aefilnorsy fg:_h fi:_cdegklnrstvx fj:o fk:_ci fl:_aeiouy fm:_ao fn:_aei fo:cloruv fp:_a fr:aeio
fs:_cehiorsw ft:_ehioswy fu:ceglnrst fy:_i ga:_bcdgilmnprstvyz gb:_oty gc:_ho gd:aeiosu ge:_abdlmnorst gf:aeioru
gg:_aeilrsy gh:_abdeilotw gi:_abcefilmnorstuv gj:iu gk:iotuy gl:aeioy gm:_abeo gn:_aeimos go:_adegilmnoprstuv gp:dilru
gr:aeiou gs:_it gt:_ahio gu:_aceilmnorsty gw:aeiory gx:i gy:_aempu gz:hi ha:_bcdefgiklmnprstuv hb:aeioru hc:_ahor
hd:_aeir he:_adilmnorsy hf:iou hg:aou hh:_a hi:_abcdefglmnoprst hk:_ae hl:_aeioy hm:_aeios hn:_aeinos
ho:_cdelmnoprstuw hp:_alou hr:aeioy hs:_eiot ht:_aefhilmost hu:_abdegiklmnorsty hv:i hw:aeior hy:_abdmnstu hz:_hi
ia:_bdglmnorstz ib:_abeilnru ic:_aehiklostu id:_adegilnostuz ie:_cdflnrstuvw if:_aefiotuy ig:_aehimnoru ih:_aeiopu
ii:_cgilnst ij:_aeiku ik:_aehikorsu il:_abdehijlmostvy im:_abeikmopsu in:_acdefghinostuv io:_glnrstu ip:_aehilopstu
iq:u ir:_abcdegiklmorsty is:_acehiklmopstu it:_aehilorstuyz iu:_lms iv:_aeimo iw:a ix:_eioty iy:_aceou iz:_aehioz
ja:_cdfhiklmnpqrsvyz jc:aeil je:_acefhnrsw ji:_acelmnrtw jo:_abdehiklnorsuy jr:_agn ju:_adgilmnrsx jy:o
ka:_abdeghilmnprstuvwyz kb:ceiosu kc:_hio kd:aor ke:_bdeilnprsty kf:aeilou kg:_r kh:_aeimosu ki:_cdeilmnprstyz kk:ai
kl:_aeioy km:_ace kn:aeio ko:_bhklmnprstuvwz kp:_ior kq:u kr:aeiouy ks:_behlmot kt:_aehmory ku:_acdlmnoprstuwyz
kw:adeou ky:_ailorstu la:_abcdghimnrstuvwyz lb:aeoruy lc:_ahikoruyz ld:_acehilnrsvw le:_abcdefgijkmnrstvxy lf:_aioru
lg:abeior lh:aeiou li:_abcdefgkmnopqstuvxyz lj:aou lk:_aeilnorsty ll:_aeinosuy lm:_aeimos ln:_aeiouz
lo:_abcdgmnoprstuvwy lp:_aefhirstu lr:eioy ls:_aehikot lt:_aehiorsuy lu:_abcdeikmnrstw lv:aei lw:aei ly:_adimnpstw
lz:abeh ma:_cdghijklmnoprstxyz mb:adeiloru mc:_acdefghklmnpqrs md:_ae me:_acdeklmnrst mf:aeio mg:_m mh:_aeinou
mi:_acdegklnrstxz mj:eou mk:eio ml:_aceikoy mm:aeiouy mn:_aeilosuw mo:_cdgilmnorstuvw mp:_abehilorstu mr:_aios
ms:_ceikot mt:_hiosv mu:cefhlmnrst mv:_ei mw:aeo my:_ceklmrst na:_bcdfghklmnrstuvyz nb:aceioru nc:_aehilorty
nd:_aeilorsu ne:_acdegiklmnorstvwxyz nf:_aeiloru ng:_aehiloprstuy nh:_aeiou ni:_acefgkmnopqstvxz nj:aeiou
nk:_aehilmnosuy nl:aeioy nm:aeio nn:_aeiosuy no:_abdgilmnorstuvwz np:ahiloru nq:ou nr:aeiy ns:_acefhikloptu
nt:_aehilorsuy nu:_aeilmoprst nv:aeio nw:aehioru nx:_i ny:_aimotw nz:_aehio oa:_cdklmnrst ob:_abeijklost
oc:_acehikortu od:_adeiorsuy oe:_dflmnrstx of:_eft og:_aeginoruy oh:_aeilmnosu oi:_acdglnrst oj:aceiou ok:_aeilopsu
ol:_acdefiklostuvy om:_abeimop on:_acdefgilmnostv oo:_dklmnprst op:_aehilmoprstuy oq:u or:_acdegiklmnoprsty
os:_acehiloprstu ot:_abehilost ou:_bcdgilnprstz ov:_aeio ow:_acdeilnstu ox:_abefimvy oy:_acdeilmosu oz:_aehy
pa:bcdgiklmnprstuv pb:er pc:_ahioz pd:_abi pe:_acdelnoprst pf:_aeilu ph:_adeinosuy pi:_acdelnopqrstv pj:_e pk:aegio
pl:aeiouy pm:_aen pn:_cdeiu po:ceiklmnoprstuvw pp:aehilory pr:_aeio ps:_ehiotuy pt:_aehiosuy pu:bcelnprstz py:_aciort
pz:_i qa:_elrs qi:_nsy qo:mu qu:aeio ra:_bcdefghijlmnoprstvwy rb:_aeiosuy rc:_aehilotuy rd:_aeilorsuw
re:_acdefghlmnpqrstvwz rf:_aeilou rg:_aehiorsuy rh:_aeiouy ri:_abcdegklmnopstvz rj:aeiou rk:_aeilnsuy rl:_adeiosuy
rm:_aeiosuy rn:_aehimos ro:_abcdfghjlmnoprstuvwxyz rp:_aehiloru rq:iu rr:_aeiouy rs:_acehioptu rt:_abehilmnorsuwy
ru:_abcdegilmnprstz rv:aei rw:aehior rx:aio ry:_adilnpst rz:_aelosy sa:_bcdfghiklmnprstuvwy sb:_aeiouy sc:aehiloru
sd:_aeioru se:_acdeflmnopqrstuvy sf:aeiosuy sg:aeortu sh:_aeilmnoruv si:_abcdefglmnorstvz sj:dou sk:_aeimosy sl:aeioy
sm:_aeiosu sn:_aeiotuy so:_cflmnopruv sp:aehilor sq:_u sr:_aeiouy ss:_aefilmosu st:_aeilmorsuy su:abcdefghilmnprsz
sv:aei sw:_aeio sy:_cdeklmnrs ta:_bcefghiklmnprstux tb:_aeioruy tc:_ahlou td:_eio te:_acdefglmnprsx tf:_aeilou
tg:_aeoru th:_aeioruy ti:_acefglmnoprstv tj:_a tk:_aio tl:aeiy tm:aeloptu tn:_aeiou to:_bcglmnoprtuwy tp:_aefhilosu
tq:_a tr:_aeiouy ts:_aehikmtu tt:_aeilorsy tu:abcdeglmnprst tv:_ai tw:aeio tx:t ty:_lp tz:_ceghikmps ua:_bgilmnrty
ub:_abceijlmpstuy uc:acehiklt ud:_adegilorswy ue:_delnrsz uf:_afitu ug:_aeghilmotu uh:_aeort ui:_acdelnprstv uj:_adfio
uk:_aehikoruw ul:_adefgilopsty um:_abdeimnops un:_abcdefgiklmnoprstu uo:_ilnstuz up:_abcdehilopst
ur:_abcdegiknopqrstvy us:_aehilpstu ut:_acehiloprstuy uu:_akmrs uv:_adeioru uw:a ux:_beitu uy:_aeiosu uz:_abhmsuz
va:_cdeilnrst vd:_as ve:_dilmnrst vg:eor vi:_abcdefglnorstv vl:aeiou vm:_or vn:_a vo:_ciklnrtuwy vr:aeio vs:_hk vt:_a
vu:_aelrsuy vv:iy vy:_aciotw wa:_aiklnprstvy wb:aeoru wc:ao wd:_ehos we:_abdeilnrsv wf:ao wh:aeio wi:cdfglnst
wk:_aeisw wl:_aeiy wm:aei wn:_eist wo:_almnoru wp:io wr:aio ws:_ehikopr wt:ahioy wu:_cdjmnrsx ww:_ew wy:_ceglnot wz:_
xa:acdmns xb:ou xc:_eil xd:_ei xe:_cdmrst xf:or xh:ai xi:_abcdelmnstuv xl:_e xo:bnprt xp:aelor xs:_iptu xt:_aehiorsu
xu:_aders xv:i xw:ae xx:_lx xy:_lmt ya:_abcdeghlmnorstuv yb:eory yc:_aehklo yd:_adeinr ye:_adlnorstvw yf:airu
yg:ailoru yi:_egnstv yj:o yk:_ehy yl:_aeilov ym:_abemnopsu yn:_acdenost yo:_klnrstuv yp:aeiot yr:_aeilorstu
ys:_acehimost yt:ehioy yu:_abcdegklmnrstu yv:aei yw:aehor yz:aei za:_abcdfhikmnrstwy zb:e ze:_acdehlnrsy zf:i zg:ei
zh:aeinouy zi:_abegilmnopry zk:aeioy zl:ei zm:ai zo:_kmnoprtuv zs:_ac zu:_klmrz zy:_nw zz:_aeikloy
"""

FOLLOWERS = {pair: frozenset(letters) for pair, letters in (item.split(":") for item in _FOLLOWERS.split())}
"""Two letters -> the letters after them that make up 99 % of English. `_` stands for a word's beginning and its end."""
